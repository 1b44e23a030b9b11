/** Datagrams to a listener of this host at a path, never waiting: what the loggers are sent. */

import { close, connect, sendto, socket } from './libc.ts';
import { unixAddress } from './unix-address.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;

export interface UnixDatagrams {
  /** False when nobody takes it. */
  send(bytes: Uint8Array): boolean;
  close(): void;
}

/** Connects when there is something to send, and anew when the listener was restarted. */
export function openUnixDatagrams(path: string): UnixDatagrams {
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
    send: (bytes) => {
      for (let attempt = 0; attempt < 2; attempt++) {
        try {
          fd ??= open();
          sendto(fd, bytes, MSG_DONTWAIT_NOSIGNAL);
          return true;
        } catch {
          release();
        }
      }
      return false;
    },
    close: release,
  };
}
