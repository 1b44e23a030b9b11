/** The system log through /dev/log (RFC 3164 as the C library's syslog(3) writes it): datagrams, never waiting, reopened when the logger restarts. */

import { close, connect, sendto, socket } from './libc.ts';
import { unixAddress } from './unix-address.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;

/** Facility daemon, severity notice: what Debian's knockd uses. */
export const DAEMON_NOTICE = 29;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

export interface Syslog {
  /** Sends one line; lost in silence when nobody listens, as syslog(3) does. */
  write(message: string, at: Date): void;
  close(): void;
}

export function openSyslog(ident: string, path = '/dev/log'): Syslog {
  let fd: number | undefined;
  const open = (): number => {
    const opened = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    try {
      connect(opened, unixAddress(path));
      return opened;
    } catch (error) {
      close(opened);
      throw error;
    }
  };
  const release = (): void => {
    if (fd !== undefined) close(fd);
    fd = undefined;
  };
  return {
    write: (message, at) => {
      const bytes = new TextEncoder().encode(`<${DAEMON_NOTICE}>${stamp(at)} ${ident}: ${message}`);
      for (let attempt = 0; attempt < 2; attempt++) {
        try {
          fd ??= open();
          sendto(fd, bytes, MSG_DONTWAIT_NOSIGNAL);
          return;
        } catch {
          release();
        }
      }
    },
    close: release,
  };
}

function stamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${MONTHS[at.getMonth()]} ${String(at.getDate()).padStart(2)} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
