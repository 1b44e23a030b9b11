/**
 * Telling systemd how we are: sd_notify(3), one datagram to the socket that NOTIFY_SOCKET names; nothing where there is none. And
 * what it wants to hear: sd_watchdog_enabled(3). The variables are taken away when they are read: commands we start are not to speak for us.
 */

import { close, sendto, socket } from './libc.ts';
import { unixAddress } from './unix-address.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;

let listener: string | undefined;

/** Sends `READY=1`, `STOPPING=1`, `WATCHDOG=1` or another state. */
export function notify(state: string): void {
  listener = process.env.NOTIFY_SOCKET || listener;
  delete process.env.NOTIFY_SOCKET;
  if (!listener) return;
  let fd: number | undefined;
  try {
    fd = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    sendto(fd, new TextEncoder().encode(state), MSG_NOSIGNAL, unixAddress(listener));
  } catch {
    // Nobody listens any more, or no descriptor is left: the unit's own time-out will tell.
  } finally {
    if (fd !== undefined) close(fd);
  }
}

/** A configuration is being read again, until the next `READY=1`; the time is what `Type=notify-reload` asks for. */
export function notifyReloading(): void {
  notify(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
}

/** The milliseconds in which systemd wants a `WATCHDOG=1` from this process; undefined when it does not. */
export function takeWatchdogTime(env: NodeJS.ProcessEnv = process.env, pid = process.pid): number | undefined {
  const { WATCHDOG_USEC: time = '', WATCHDOG_PID: whose } = env;
  delete env.WATCHDOG_USEC;
  delete env.WATCHDOG_PID;
  if (!/^[1-9]\d{0,15}$/.test(time) || (whose !== undefined && whose !== String(pid))) return undefined;
  return Number(time) / 1000;
}
