/** Who is at the other end of a Unix socket, as the kernel knows it: SO_PEERCRED of unix(7). */

import type { Socket } from 'node:net';
import { userName } from './accounts.ts';
import { getsockopt } from './libc.ts';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `struct ucred`: process, user, group, 32 bits each in the order of the machine. */
const UCRED = 3;
const UID_AT = 1;

/** The name of the user who connected, `uid 1234` when he has none; undefined where the system does not tell. */
export function peerUser(socket: Socket): string | undefined {
  // Node has no public way to the descriptor of a socket.
  const { _handle: handle } = socket as { _handle?: { fd?: unknown } | null };
  const fd = handle?.fd;
  if (process.platform !== 'linux' || typeof fd !== 'number' || fd < 0) return undefined;
  const credentials = new Uint32Array(UCRED);
  try {
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, new Uint8Array(credentials.buffer)) !== credentials.byteLength)
      return undefined;
  } catch {
    return undefined;
  }
  const uid = credentials[UID_AT] ?? 0;
  return userName(uid) ?? `uid ${uid}`;
}
