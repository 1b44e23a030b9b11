/**
 * The corpus of `decode/*.hex` as it is, and mutated at random.
 *
 * A corpus file is comment lines, `as:` (`network`, `frame LINKTYPE` or `cooked ETHERTYPE`), `expect:` (a drop reason, or the packet),
 * `wire:` where it is not the number of bytes, an empty line and the bytes in hex.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { printAddress } from '../../src/core/address.ts';
import { decodeNetwork } from '../../src/core/decode.ts';
import { decodeCooked, decodeFrame } from '../../src/core/link.ts';
import type { Drop, Packet } from '../../src/core/packet.ts';
import { assertWellFormed, embedded } from '../support/decoded.ts';
import { fuzz, join } from '../support/fuzz.ts';
import { DESTINATION_OPTIONS, ipv6Packet, rawSegment } from '../support/packet-builder.ts';

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

const ENDS = { source: '2001:db8::1', destination: '2001:db8::2' };

fuzz({
  name: 'the packet decoders',
  samples: SAMPLES,
  check: (bytes, { decode }, random) => {
    const wireLength = bytes.length + (random.below(2) === 0 ? 0 : random.below(100));
    const answer = decode(bytes, wireLength);
    assertWellFormed(answer, wireLength);
    assert.ok(same(decode(embedded(bytes, 0x3c), wireLength), answer));
    // More of a frame than was needed changes nothing; less is truncated, or as good.
    const padding = 1 + random.below(20);
    const more = join([bytes, new Uint8Array(padding).fill(random.below(256))]);
    if (!('drop' in answer)) assert.ok(same(decode(more, wireLength + padding), answer));
    const less = decode(bytes.subarray(0, bytes.length >>> 1), wireLength);
    if (!('drop' in less)) assert.ok(same(less, answer), 'half a frame was taken, the whole was not');
  },
  large: [
    {
      name: 'IPv6 headers without end',
      sizes: [500, 64_000],
      build: (size) => ipv6Packet(ENDS, rawSegment(DESTINATION_OPTIONS, endlessOptions(size))),
      read: (bytes) => decodeNetwork(bytes, bytes.length),
    },
  ],
});

/** Destination options of 8 bytes each, each followed by the next: the longest way that a packet can be made to walk. */
function endlessOptions(size: number): Uint8Array {
  return new Uint8Array(size - (size % 8)).map((_, at) => (at % 8 === 0 ? DESTINATION_OPTIONS : 0));
}

/** Ten times as fast as `deepEqual`. */
function same(x: Packet | Drop, y: Packet | Drop): boolean {
  if (printed(x) !== printed(y)) return false;
  return 'drop' in x || 'drop' in y || x.sequence === y.sequence;
}
