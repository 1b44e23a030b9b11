/** What comes over the control socket: requests to the daemon, cut into lines and read, and the lines that it answers with. */

import assert from 'node:assert/strict';
import { Lines } from '../../src/control/lines.ts';
import { decodeReply, LONGEST_REQUEST } from '../../src/control/protocol.ts';
import { decodeRequest, REQUESTS } from '../../src/control/request.ts';
import { fuzz, join, readSamples } from '../support/fuzz.ts';
import type { Random } from '../support/random.ts';

const NOW = Date.UTC(2030, 0, 31, 12);
const SAMPLES = readSamples('requests.txt');
const WORDS = [
  ...Object.keys(REQUESTS).map((name) => `"do":"${name}"`),
  '"v":1',
  '"id":',
  '"door":"ssh"',
  '"source":"192.0.2.7"',
  '"for":"1h"',
  '"types":[',
  '"since":"2030-01-31"',
  '"limit":1e999',
  '"__proto__":',
  '\\ud800',
  '\n',
  '\r\n',
];

const nested = (head: string) => (size: number) =>
  new TextEncoder().encode(head + '['.repeat(size / 2) + ']'.repeat(size / 2));
const SIZES = [4000, 64_000] as const;
const encoder = new TextEncoder();

fuzz({
  name: '`decodeRequest()`',
  samples: SAMPLES,
  words: WORDS,
  check: (bytes) => {
    const decoded = decodeRequest(bytes, NOW);
    if ('request' in decoded) assert.ok(Object.hasOwn(REQUESTS, decoded.request.do));
    else assert.notEqual(decoded.error, '');
    if (decoded.id !== undefined) assert.ok(typeof decoded.id === 'string' || Number.isSafeInteger(decoded.id));
  },
  large: [
    ...['', '{"do":', '{"do":"open","door":"ssh","source":', '{"do":"log","types":[', '{"do":"log","since":'].map(
      (head) => ({
        name: `brackets behind "${head}"`,
        sizes: SIZES,
        build: nested(head),
        read: (bytes: Uint8Array) =>
          decodeRequest(join([bytes, encoder.encode(head.includes('[') ? ']}' : head && '}')]), NOW),
      }),
    ),
    {
      name: 'keys that nobody knows',
      sizes: SIZES,
      build: (size) => {
        const keys = Array.from({ length: size / 10 }, (_, index) => `"k${index}":0`);
        return encoder.encode(`{"do":"status",${keys.join()}}`);
      },
      read: (bytes) => decodeRequest(bytes, NOW),
    },
    {
      name: 'types without end',
      sizes: SIZES,
      build: (size) =>
        encoder.encode(
          `{"do":"log","types":[${Array(Math.floor(size / 9))
            .fill('"opened"')
            .join()}]}`,
        ),
      read: (bytes) => decodeRequest(bytes, NOW),
    },
    {
      name: 'digits without end',
      sizes: SIZES,
      build: (size) => encoder.encode(`{"do":"log","since":"${'9'.repeat(size)}"}`),
      read: (bytes) => decodeRequest(bytes, NOW),
    },
  ],
});

/** As a connection reads them: up to the first line that is too long. */
function linesOf(pieces: Iterable<Uint8Array>, longest: number): string[] {
  const lines = new Lines(longest);
  const found: string[] = [];
  for (const piece of pieces) {
    for (const line of lines.take(piece)) {
      if (line === 'too-long') return [...found, line];
      found.push(Buffer.from(line).toString('latin1'));
    }
  }
  const rest = lines.rest();
  return rest === undefined ? found : [...found, Buffer.from(rest).toString('latin1')];
}

function* inPieces(bytes: Uint8Array, random: Random): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.below(random.below(4) === 0 ? 3 : 100);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

const LONGEST = 90;

fuzz({
  name: '`Lines`',
  samples: SAMPLES,
  words: ['\n', '\r', '\r\n', '\n\n'],
  check: (bytes, _, random) => {
    const expected: string[] = [];
    const all = Buffer.from(bytes).toString('latin1').split('\n');
    for (const [index, line] of all.entries()) {
      if (line.length > LONGEST) {
        expected.push('too-long');
        break;
      }
      if (index < all.length - 1 || line !== '') expected.push(line.replace(/\r$/, ''));
    }
    assert.deepEqual(linesOf(inPieces(bytes, random), LONGEST), expected);
  },
  large: [
    {
      name: 'the longest line, a byte at a time',
      sizes: SIZES,
      build: (size) => new Uint8Array(size).fill(0x20),
      read: (bytes) =>
        linesOf(
          Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
          LONGEST_REQUEST,
        ),
    },
    {
      name: 'empty lines',
      sizes: SIZES,
      build: (size) => new Uint8Array(size).fill(0x0a),
      read: (bytes) => linesOf([bytes], LONGEST_REQUEST),
    },
  ],
});

fuzz({
  name: '`decodeReply()`',
  samples: readSamples('replies.txt'),
  words: ['"v":1', '"ok":true', '"ok":false', '"error":""', '"event":{}', '"__proto__":'],
  check: (bytes) => {
    const reply = decodeReply(bytes);
    if (reply === undefined) return;
    if ('error' in reply) assert.equal(typeof reply.error, 'string');
    else if ('event' in reply) assert.ok(typeof reply.event === 'object' && reply.event !== null);
    else assert.ok('result' in reply);
  },
  large: [{ name: 'brackets', sizes: SIZES, build: nested(''), read: decodeReply }],
});
