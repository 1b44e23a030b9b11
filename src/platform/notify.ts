/** Telling systemd how we are: sd_notify(3), one datagram to the socket that NOTIFY_SOCKET names; nothing where there is none. */

import { close, sendto, socket } from './libc.ts';
import { unixAddress } from './unix-address.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** Sends `READY=1` or another state. The variable stays for nobody: commands we start are not to speak for us. */
export function notify(state: string): void {
  const path = process.env.NOTIFY_SOCKET;
  delete process.env.NOTIFY_SOCKET;
  if (!path) return;
  const fd = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  try {
    sendto(fd, new TextEncoder().encode(state), MSG_NOSIGNAL, unixAddress(path));
  } catch {
    // Nobody listens any more: the unit's own time-out will tell.
  } finally {
    close(fd);
  }
}
