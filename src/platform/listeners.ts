/**
 * TCP ports somebody listens on here: the public ports, whose connections are nobody's stray.
 *
 * From /proc/net/tcp and tcp6 (proc(5)), which list listening sockets before all others: reading stops at the first socket
 * in another state, so a busy server with 100,000 connections costs no more than an idle one.
 */

import { closeSync, openSync, readSync } from 'node:fs';

const LISTEN = '0A';

/** The listening TCP ports of this network namespace, ascending, each once; empty where there is no /proc. */
export function listeningPorts(): readonly number[] {
  const ports = new Set<number>();
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    try {
      for (const port of readListening(file)) ports.add(port);
    } catch {
      // No /proc, or no IPv6: nothing is public by this list, which only makes strays of more packets.
    }
  }
  return [...ports].sort((x, y) => x - y);
}

function* readListening(file: string): Generator<number> {
  const fd = openSync(file, 'r');
  try {
    const chunk = new Uint8Array(16384);
    const decoder = new TextDecoder('latin1');
    let rest = '';
    for (;;) {
      const length = readSync(fd, chunk, 0, chunk.length, null);
      if (length === 0) return;
      const lines = (rest + decoder.decode(chunk.subarray(0, length))).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const match = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line);
        if (!match) continue; // the heading
        if (match[2] !== LISTEN) return;
        yield Number.parseInt(match[1] ?? '', 16);
      }
    }
  } finally {
    closeSync(fd);
  }
}
