/** Capture files, plain and through a pipe: handed on whole, held where the sink waits, and ended once. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPcap } from '../../src/capture/pcap-source.ts';
import type { PacketSink } from '../../src/capture/source.ts';
import { ethernet, ipv4Packet, tcpSegment } from '../support/packet-builder.ts';
import { writePcap } from '../support/pcap-writer.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const PORTS = [1, 2, 3, 4, 5, 6];

function capture(): Uint8Array {
  return writePcap(
    PORTS.map((destinationPort, index) => ({
      time: 1_700_000_000_000 + index,
      bytes: ethernet(
        ipv4Packet({ source: '192.0.2.1', destination: '192.0.2.2' }, tcpSegment({ sourcePort: 9, destinationPort })),
      ),
    })),
  );
}

/** A descriptor with a capture to read, from a file or from a pipe whose writer is gone already. */
function descriptorOf(kind: 'file' | 'pipe', bytes: Uint8Array, folder: string): number {
  const path = join(folder, kind);
  if (kind === 'file') {
    writeFileSync(path, bytes);
    return openSync(path, 'r');
  }
  execFileSync('mkfifo', [path]);
  const writer = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  writeSync(writer, bytes);
  closeSync(writer);
  return reader;
}

/** Reads to the end; a sink that waits after every port in `waitAfter` is let go on a few turns of the loop later. */
async function read(descriptor: number, ends: boolean, waitAfter: readonly number[] = []) {
  const seen: string[] = [];
  const over = Promise.withResolvers<void>();
  let waiting = false;
  const sink: PacketSink = {
    packet: (packet) => {
      const port = 'drop' in packet ? 0 : packet.destinationPort;
      seen.push(`${port}`);
      waiting = waitAfter.includes(port);
      if (waiting) letGo(10);
    },
    waits: () => waiting,
    drained: () => {},
    ended: (reason) => {
      seen.push(reason ?? 'end');
      over.resolve();
    },
  };
  const letGo = (turns: number): void => {
    if (turns > 0) return void setImmediate(() => letGo(turns - 1));
    seen.push('on');
    waiting = false;
    source.readOn?.();
  };
  const source = readPcap(descriptor, ends, sink)();
  await over.promise;
  source.close();
  return seen.join(' ');
}

for (const kind of ['file', 'pipe'] as const) {
  test(`A capture by a ${kind} comes whole, and ends without a reason`, async () => {
    using folder = temporaryFolder();
    assert.equal(await read(descriptorOf(kind, capture(), folder.path), true), '1 2 3 4 5 6 end');
  });

  test(`A capture by a ${kind} stands still where the sink waits, at its last packet too`, async () => {
    using folder = temporaryFolder();
    const seen = await read(descriptorOf(kind, capture(), folder.path), true, [2, 3, 6]);
    assert.equal(seen, '1 2 on 3 on 4 5 6 on end');
  });

  test(`A capture by a ${kind} that is cut off is told as that, after what is whole`, async () => {
    using folder = temporaryFolder();
    const seen = await read(descriptorOf(kind, capture().subarray(0, -1), folder.path), true, [5]);
    assert.match(seen, /^1 2 3 4 5 on Cannot read the capture to its end: record 6 is cut off/);
  });
}

test('A capture program that ends is a failure', async () => {
  using folder = temporaryFolder();
  const seen = await read(descriptorOf('pipe', capture(), folder.path), false);
  assert.equal(seen, '1 2 3 4 5 6 the capture program ended');
});
