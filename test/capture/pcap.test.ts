/** The pcap reader: both byte orders and resolutions, however the file is cut up, and every way in which it can be wrong. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_RECORD_LENGTH, PcapReader, type PcapRecord } from '../../src/capture/pcap.ts';
import { type PcapFrame, writePcap } from '../support/pcap-writer.ts';

const FRAMES: readonly PcapFrame[] = [
  { time: 1_700_000_000_000.25, bytes: Uint8Array.of(1, 2, 3) },
  { time: 1_700_000_000_001.5, bytes: new Uint8Array(0), wireLength: 60 },
  { time: 4_294_967_295_999, bytes: new Uint8Array(1500).fill(7), wireLength: 9000 },
];
const FORMATS = [false, true].flatMap((bigEndian) => [false, true].map((nanoseconds) => ({ bigEndian, nanoseconds })));

interface Reading {
  readonly records: PcapRecord[];
  /** What the reader threw or what it misses; undefined for a whole file. */
  readonly problem: string | undefined;
}

function read(chunks: Iterable<Uint8Array>): Reading {
  const reader = new PcapReader();
  const records: PcapRecord[] = [];
  try {
    for (const chunk of chunks) records.push(...reader.push(chunk));
  } catch (error) {
    return { records, problem: (error as Error).message };
  }
  return { records, problem: reader.unfinished() };
}

/** Pieces of the given sizes, over and over; 0 makes an empty piece. */
function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    yield bytes.slice(at, at + size);
    at += size;
  }
}

const plain = (records: readonly PcapRecord[]): unknown =>
  records.map(({ bytes, ...rest }) => ({ ...rest, bytes: [...bytes] }));

function corrupted(file: Uint8Array, at: number, value: number): Uint8Array {
  const copy = file.slice();
  new DataView(copy.buffer).setUint32(at, value, true);
  return copy;
}

test('`PcapReader` reads both byte orders and both resolutions', () => {
  for (const format of FORMATS) {
    const { records, problem } = read([writePcap(FRAMES, { ...format, linkType: 113 })]);
    assert.equal(problem, undefined);
    assert.deepEqual(
      plain(records),
      FRAMES.map(({ time, bytes, wireLength = bytes.length }) => ({
        time,
        wireLength,
        linkType: 113,
        bytes: [...bytes],
      })),
    );
  }
});

test('`PcapReader` keeps microseconds and nanoseconds apart', () => {
  const frame = { time: 1_000.000999, bytes: new Uint8Array(1) };
  assert.equal(read([writePcap([frame], { nanoseconds: true })]).records[0]?.time, 1_000.000999);
  assert.equal(read([writePcap([frame], { nanoseconds: false })]).records[0]?.time, 1_000.001);
});

test('`PcapReader` reads a file without records as whole', () => {
  assert.deepEqual(read([writePcap([])]), { records: [], problem: undefined });
});

test('`PcapReader` tells the link type as soon as the header is there', () => {
  const reader = new PcapReader();
  const file = writePcap(FRAMES, { linkType: 276 });
  reader.push(file.subarray(0, 23));
  assert.equal(reader.linkType, undefined);
  reader.push(file.subarray(23, 24));
  assert.equal(reader.linkType, 276);
  // A frame check sequence is told of in the upper bits.
  reader.push(file.subarray(24));
  assert.equal(read([writePcap(FRAMES, { linkType: 0x54000001 })]).records[0]?.linkType, 1);
});

test('`PcapReader` reads the same from any pieces, byte by byte included', () => {
  const whole = plain(read([writePcap(FRAMES)]).records);
  assert.deepEqual(plain(read(cut(writePcap(FRAMES), [1])).records), whole);
  const frame = fc.record({
    time: fc.nat(2 ** 31).map((ms) => ms / 2),
    bytes: fc.uint8Array({ maxLength: 80 }),
  });
  const sizes = fc.array(fc.nat(60), { minLength: 1, maxLength: 6 }).filter((list) => list.some((size) => size > 0));
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 8 }),
      fc.constantFrom(...FORMATS),
      sizes,
      fc.nat(20),
      (frames, format, list, off) => {
        const file = writePcap(frames, format);
        const bytes = file.subarray(0, Math.max(0, file.length - off));
        const once = read([bytes]);
        const pieces = read(cut(bytes, list));
        assert.deepEqual(plain(pieces.records), plain(once.records));
        assert.equal(pieces.problem, once.problem);
        if (off === 0) assert.equal(once.problem, undefined);
      },
    ),
  );
});

test('`PcapReader` reports every truncation and keeps the records before it', () => {
  const file = writePcap(FRAMES);
  const ends = [24, 24 + 19, 24 + 19 + 16, file.length];
  for (let length = 0; length <= file.length; length++) {
    const { records, problem } = read([file.subarray(0, length)]);
    assert.equal(
      records.length,
      Math.max(
        0,
        ends.findLastIndex((end) => end <= length),
      ),
    );
    if (ends.includes(length)) assert.equal(problem, undefined);
    else if (length < 24) {
      assert.equal(problem, `Cannot read the capture: it ends after ${length} of the 24 bytes of a pcap file header`);
    } else assert.match(problem ?? '', /^Cannot read the capture to its end: record [123] is cut off after \d+ bytes$/);
  }
});

test('`PcapReader` refuses a record that claims more than any has, after the records before it', () => {
  const file = writePcap(FRAMES);
  const expected = 'Cannot read the capture: record 2 claims 4294967295 bytes, the most is 262144';
  const broken = corrupted(file, 24 + 19 + 8, 0xffffffff);
  for (const sizes of [[broken.length], [1], [7, 30]]) {
    const { records, problem } = read(cut(broken, sizes));
    assert.equal(records.length, 1);
    assert.equal(problem, expected);
  }
  const reader = new PcapReader();
  assert.equal(reader.push(broken).length, 1);
  assert.throws(() => reader.push(new Uint8Array(1)), { message: expected });
  assert.throws(() => reader.push(new Uint8Array(1)), { message: expected });
  assert.equal(reader.unfinished(), expected);
  assert.throws(
    () => new PcapReader().push(corrupted(file, 24 + 8, MAX_RECORD_LENGTH + 1)),
    /record 1 claims 262145 bytes/,
  );
});

test('`PcapReader` takes the longest record there may be, and in linear time from the smallest pieces', () => {
  const file = writePcap([{ time: 0, bytes: new Uint8Array(MAX_RECORD_LENGTH).fill(9) }]);
  const { records, problem } = read(cut(file, [1]));
  assert.equal(problem, undefined);
  assert.equal(records[0]?.bytes.length, MAX_RECORD_LENGTH);

  const time = (length: number): number => {
    const bytes = writePcap([{ time: 0, bytes: new Uint8Array(length) }]);
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5; round++) {
      const start = performance.now();
      read(cut(bytes, [16]));
      best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  const small = MAX_RECORD_LENGTH / 8;
  time(small);
  const growth = Math.log(time(MAX_RECORD_LENGTH) / time(small)) / Math.log(8);
  assert.ok(growth <= 1.6, `time grows as n^${growth.toFixed(2)}`);
});

test('`PcapReader` never tells a wire length below what was captured', () => {
  const frame = { time: 0, bytes: new Uint8Array(40), wireLength: 20 };
  assert.equal(read([writePcap([frame])]).records[0]?.wireLength, 40);
});

test('`PcapReader` refuses other formats by name, from their first four bytes', () => {
  const refused: [number[], RegExp][] = [
    [
      [0x0a, 0x0d, 0x0d, 0x0a],
      /^Cannot read the capture: it is in the pcapng format, not classic pcap; convert it with "tcpdump/,
    ],
    [[0x1f, 0x8b, 0x08, 0x00], /^Cannot read the capture: it is compressed; decompress it first$/],
    [[0x28, 0xb5, 0x2f, 0xfd], /^Cannot read the capture: it is compressed; decompress it first$/],
    [[0x34, 0xcd, 0xb2, 0xa1], /^Cannot read the capture: it does not begin as a pcap file does$/],
    [[0x74, 0x63, 0x70, 0x64], /^Cannot read the capture: it does not begin as a pcap file does$/],
    [[0, 0, 0, 0], /^Cannot read the capture: it does not begin as a pcap file does$/],
  ];
  for (const [bytes, message] of refused) {
    assert.throws(() => new PcapReader().push(Uint8Array.from(bytes)), { name: 'Error', message });
    const slowly = read(cut(Uint8Array.from(bytes), [1]));
    assert.match(slowly.problem ?? '', message);
  }
});

test('`PcapReader` refuses other versions in either byte order', () => {
  for (const bigEndian of [false, true]) {
    for (const version of [
      [2, 3],
      [2, 5],
      [1, 4],
      [4, 2],
      [0, 0],
    ] as const) {
      const file = writePcap(FRAMES, { bigEndian, version });
      const expected = `Cannot read the capture: pcap version ${version.join('.')} is not supported, only 2.4`;
      assert.throws(() => new PcapReader().push(file), { message: expected });
    }
  }
});

test('`PcapReader` survives random bytes behind a header: it reads, asks for more or throws an `Error`', () => {
  const header = writePcap([]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (rest, headed) => {
      const bytes = headed ? Uint8Array.of(...header, ...rest) : rest;
      const once = read([bytes]);
      for (const record of once.records)
        assert.ok(record.wireLength >= record.bytes.length && Number.isFinite(record.time));
      assert.deepEqual(plain(read(cut(bytes, [3])).records), plain(once.records));
      assert.equal(read(cut(bytes, [3])).problem, once.problem);
    }),
  );
});
