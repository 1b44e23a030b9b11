/** The system log through /dev/log (RFC 3164 as the C library's syslog(3) writes it): datagrams, never waiting, reopened when the logger restarts. */

import { openUnixDatagrams } from './unix-datagrams.ts';

/** Facility daemon, severity notice: what Debian's knockd uses. */
export const DAEMON_NOTICE = 29;

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

export interface Syslog {
  /** Sends one line; lost in silence when nobody listens, as syslog(3) does. */
  write(message: string, at: Date): void;
  close(): void;
}

export function openSyslog(ident: string, path = '/dev/log'): Syslog {
  const { send, close } = openUnixDatagrams(path);
  const encoder = new TextEncoder();
  return {
    write: (message, at) => void send(encoder.encode(`<${DAEMON_NOTICE}>${stamp(at)} ${ident}: ${message}`)),
    close,
  };
}

function stamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${MONTHS[at.getMonth()]} ${String(at.getDate()).padStart(2)} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
