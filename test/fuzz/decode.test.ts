/**
 * The corpus of `decode/*.hex` as it is, and mutated at random.
 *
 * A corpus file is comment lines, `as:` (`network`, `frame LINKTYPE` or `cooked ETHERTYPE`), `expect:` (a drop reason, or the packet),
 * `wire:` where it is not the number of bytes, an empty line and the bytes in hex. `FUZZ_RUNS=1000000` makes the random part
 * longer, `FUZZ_SEED` repeats one; a failure prints the bytes, which then belong into the corpus.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { printAddress } from '../../src/core/address.ts';
import { decodeNetwork } from '../../src/core/decode.ts';
import { decodeCooked, decodeFrame } from '../../src/core/link.ts';
import type { Drop, Packet } from '../../src/core/packet.ts';
import { assertWellFormed, embedded } from '../support/decoded.ts';

interface Sample {
  readonly name: string;
  readonly decode: (bytes: Uint8Array, wireLength: number) => Packet | Drop;
  readonly expected: string;
  readonly bytes: Uint8Array;
  readonly wireLength: number;
}

const CORPUS = new URL('decode/', import.meta.url);
const SAMPLES = readdirSync(CORPUS)
  .filter((name) => name.endsWith('.hex'))
  .sort()
  .map(readSample);

function readSample(name: string): Sample {
  const text = readFileSync(new URL(name, CORPUS), 'utf8');
  const end = text.indexOf('\n\n');
  const head = new Map(
    text
      .slice(0, end)
      .split('\n')
      .filter((line) => !line.startsWith('#'))
      .map((line) => line.split(': ') as [string, string]),
  );
  const hex = text.slice(end).replaceAll(/\s/g, '');
  assert.match(hex, /^([0-9a-f]{2})*$/, name);
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, at) =>
    Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16),
  );
  const expected = head.get('expect');
  assert.ok(end > 0 && expected, `${name} has no expect: line`);
  const wireLength = Number(head.get('wire') ?? bytes.length);
  return { name, decode: decoderFor(head.get('as') ?? ''), expected, bytes, wireLength };
}

function decoderFor(as: string): Sample['decode'] {
  const [kind, number] = as.split(' ');
  if (kind === 'network') return decodeNetwork;
  if (kind === 'frame') return (bytes, wireLength) => decodeFrame(Number(number), bytes, wireLength);
  assert.equal(kind, 'cooked', `unknown "as: ${as}"`);
  return (bytes, wireLength) => decodeCooked(Number(number), bytes, wireLength);
}

function printed(result: Packet | Drop): string {
  if ('drop' in result) return result.drop;
  const { protocol, source, sourcePort, destination, destinationPort, flags, length } = result;
  const from = `${printAddress(source)} ${sourcePort}`;
  const to = `${printAddress(destination)} ${destinationPort}`;
  return `${protocol} ${from} > ${to} flags ${flags} length ${length}`;
}

test('every sample of the corpus decodes as it says', () => {
  assert.ok(SAMPLES.length > 0);
  for (const { name, decode, expected, bytes, wireLength } of SAMPLES) {
    assert.equal(printed(decode(bytes, wireLength)), expected, name);
    assert.equal(printed(decode(embedded(bytes, 0x45), wireLength)), expected, name);
  }
});

/** One slip: bytes overwritten, cut out or put in, or a piece of another sample in their place. */
const slip = fc.record({
  at: fc.nat(400),
  cut: fc.oneof(fc.constant(0), fc.nat(4), fc.nat(60)),
  put: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 4 }),
    fc.constantFrom(0, 0x2c, 0x3c, 0x45, 0x60, 0x81, 0xff).map((byte) => Uint8Array.of(byte)),
    fc
      .tuple(fc.constantFrom(...SAMPLES), fc.nat(200), fc.nat(60))
      .map(([{ bytes }, start, length]) => bytes.slice(start, start + length)),
  ),
});

function slipped(bytes: Uint8Array, { at, cut, put }: { at: number; cut: number; put: Uint8Array }): Uint8Array {
  const place = at % (bytes.length + 1);
  return Uint8Array.of(...bytes.subarray(0, place), ...put, ...bytes.subarray(place + Math.max(cut, put.length)));
}

test('no mutation of the corpus brings a decoder down or makes it contradict itself', () => {
  const mutation = fc.record({
    sample: fc.constantFrom(...SAMPLES),
    slips: fc.array(slip, { minLength: 1, maxLength: 4 }),
    unseen: fc.oneof(fc.constant(0), fc.nat(100)),
    padding: fc.uint8Array({ minLength: 1, maxLength: 20 }),
  });
  const seed = process.env.FUZZ_SEED;
  fc.assert(
    fc.property(mutation, ({ sample, slips, unseen, padding }) => {
      const bytes = slips.reduce(slipped, sample.bytes);
      const wireLength = bytes.length + unseen;
      try {
        const answer = sample.decode(bytes, wireLength);
        assertWellFormed(answer, wireLength);
        assert.deepEqual(sample.decode(embedded(bytes, 0x3c), wireLength), answer);
        // More of a frame than was needed changes nothing; less is truncated, or as good.
        const more = Uint8Array.of(...bytes, ...padding);
        if (!('drop' in answer)) assert.deepEqual(sample.decode(more, wireLength + padding.length), answer);
        const less = sample.decode(bytes.subarray(0, bytes.length >>> 1), wireLength);
        if (!('drop' in less) && !('drop' in answer)) assert.deepEqual(less, answer);
        else if (!('drop' in less)) assert.fail('half a frame was taken, the whole was not');
      } catch (error) {
        throw new Error(`${sample.name} became ${hexOf(bytes)} (wire ${wireLength})`, { cause: error });
      }
    }),
    { numRuns: Number(process.env.FUZZ_RUNS ?? 3000), ...(seed === undefined ? {} : { seed: Number(seed) }) },
  );
});

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
