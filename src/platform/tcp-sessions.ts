/**
 * The TCP sessions of this network namespace, from /proc/net/tcp and tcp6 (proc(5)): read as a stream, for a busy server has
 * megabytes of them. Sessions that only pass through (containers behind DNAT) are not there.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import type { Address } from '../core/address.ts';

/** Established, or on the way from or to it: SYN_RECV, FIN_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING; not listening, not TIME_WAIT. */
const CONNECTED = /^0[134589B]$/;

export interface TcpSession {
  readonly source: Address;
  readonly sourcePort: number;
  readonly port: number;
}

/** At most `limit` sessions with a local port that `wanted` picks; none where there is no /proc. `source` is the other side. */
export function tcpSessions(wanted: (port: number) => boolean, limit: number): TcpSession[] {
  const sessions: TcpSession[] = [];
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of linesOf(file)) {
      if (sessions.length >= limit) return sessions;
      const session = parseTcpSession(line);
      if (session !== undefined && wanted(session.port)) sessions.push(session);
    }
  }
  return sessions;
}

/** One line of /proc/net/tcp or tcp6; undefined when it is no connected socket. */
export function parseTcpSession(line: string): TcpSession | undefined {
  const match = /^\s*\d+: (?:[0-9A-F]{8}){1,4}:([0-9A-F]{4}) ((?:[0-9A-F]{8}){1,4}):([0-9A-F]{4}) ([0-9A-F]{2}) /.exec(
    line,
  );
  const [, port = '', address = '', sourcePort = '', state = ''] = match ?? [];
  if (!CONNECTED.test(state)) return undefined;
  const words = (address.match(/.{8}/g) ?? []).map(word);
  const [a = 0, b = 0, c = 0, d = 0] = words.length === 1 ? [0, 0, 0xffff, ...words] : words;
  return { source: { a, b, c, d }, sourcePort: Number.parseInt(sourcePort, 16), port: Number.parseInt(port, 16) };
}

/** The kernel prints 32-bit words of network-order bytes as numbers of its own byte order, which is little-endian here. */
function word(hex: string): number {
  const bytes = new DataView(new ArrayBuffer(4));
  bytes.setUint32(0, Number.parseInt(hex, 16), true);
  return bytes.getInt32(0);
}

function* linesOf(file: string): Generator<string> {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return; // No /proc, or no IPv6.
  }
  try {
    const chunk = new Uint8Array(65_536);
    const decoder = new TextDecoder('latin1');
    let rest = '';
    for (;;) {
      const length = readSync(fd, chunk, 0, chunk.length, null);
      if (length === 0) return;
      const lines = (rest + decoder.decode(chunk.subarray(0, length))).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } finally {
    closeSync(fd);
  }
}
