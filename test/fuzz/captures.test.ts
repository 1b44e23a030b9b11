/** Capture files and the pipe of tcpdump: our own people's, but a file may come from anywhere. */

import assert from 'node:assert/strict';
import { PcapReader, type PcapRecord } from '../../src/capture/pcap.ts';
import { fuzz } from '../support/fuzz.ts';
import { ethernet, ipv4Packet, tcpSegment } from '../support/packet-builder.ts';
import { writePcap } from '../support/pcap-writer.ts';

const SYN = ipv4Packet({ source: '192.0.2.7', destination: '198.51.100.1' }, tcpSegment({ destinationPort: 7000 }));
const FRAMES = [
  { time: 1_700_000_000_000.25, bytes: ethernet(SYN) },
  { time: 1_700_000_000_001.5, bytes: new Uint8Array(0), wireLength: 60 },
  { time: 4_294_967_295_999, bytes: new Uint8Array(40).fill(7), wireLength: 9000 },
];
const SAMPLES = [false, true].flatMap((bigEndian) =>
  [false, true].map((nanoseconds) => ({
    name: `a ${bigEndian ? 'big' : 'little'}-endian capture in ${nanoseconds ? 'nano' : 'micro'}seconds`,
    bytes: writePcap(FRAMES, { bigEndian, nanoseconds }),
  })),
);

interface Reading {
  readonly records: readonly PcapRecord[];
  readonly problem: string | undefined;
}

function readAll(pieces: Iterable<Uint8Array>): Reading {
  const reader = new PcapReader();
  const records: PcapRecord[] = [];
  try {
    for (const piece of pieces) records.push(...reader.push(piece));
  } catch (error) {
    return { records, problem: (error as Error).message };
  }
  return { records, problem: reader.unfinished() };
}

/** In pieces, what is wrong may come to light with a piece that brings nothing more: after the last one, ask again. */
function readWhole(bytes: Uint8Array): Reading {
  return readAll([bytes]);
}

fuzz({
  name: '`PcapReader`',
  samples: SAMPLES,
  check: (bytes, _, random) => {
    const { records, problem } = readWhole(bytes);
    if (problem !== undefined) assert.match(problem, /^Cannot read the capture/);
    for (const record of records) assert.ok(record.wireLength >= record.bytes.length);
    const place = random.below(bytes.length + 1);
    assert.deepEqual(readAll([bytes.subarray(0, place), bytes.subarray(place)]), { records, problem });
  },
  large: [
    {
      name: 'empty records',
      sizes: [16_000, 256_000],
      build: (size) => writePcap(Array(Math.floor(size / 16)).fill({ time: 0, bytes: new Uint8Array(0) })),
      read: (bytes) => readWhole(bytes).records.length,
    },
    {
      name: 'one record, a byte at a time',
      sizes: [8000, 128_000],
      build: (size) => writePcap([{ time: 0, bytes: new Uint8Array(size) }]),
      read: (bytes) => readAll(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))).records.length,
    },
  ],
});
