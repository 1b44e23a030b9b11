/** Answers of nf_tables. The kernel is trusted; whoever may add an element by hand writes into them, though, and they are read by root. */

import assert from 'node:assert/strict';
import {
  decodeElements,
  decodeMeaning,
  decodeMessages,
  decodeNames,
  elementBytes,
  encodeBatch,
  encodeDump,
  renewal,
} from '../../src/firewall/nfnetlink.ts';
import { fuzz } from '../support/fuzz.ts';

const KEY = Uint8Array.of(10, 1, 2, 6);
const COMMENT = 'postern via=hand user=alice';
const ELEMENTS = [
  { key: KEY, timeout: 30_000, comment: COMMENT },
  { key: new Uint8Array(16) },
  { key: KEY, timeout: 1 },
];
const SAMPLES = [
  {
    name: 'a batch',
    bytes: encodeBatch(
      [{ action: 'add', set: 'open4_ssh', elements: ELEMENTS }, ...renewal('open4_ssh', ELEMENTS[0]!)],
      7,
    ),
  },
  { name: 'a dump', bytes: encodeDump('getElement', 8, 'open4_ssh') },
  {
    name: 'a refusal',
    bytes: new Uint8Array(
      Buffer.from('2c00000002000003080000009b0bd78cfeffffff440000000c0a010408000000000000000800020020000000', 'hex'),
    ),
  },
];

/** Everything that can be read out of received bytes. */
function readAll(bytes: Uint8Array): readonly object[] {
  return decodeMessages(bytes).map((message) => {
    const meaning = decodeMeaning(message);
    if (meaning.kind !== 'nftables') return meaning;
    const { number, body } = meaning;
    return { names: decodeNames(number, body), elements: decodeElements(body), raw: elementBytes(body) };
  });
}

fuzz({
  name: 'the answers of nf_tables',
  samples: SAMPLES,
  words: ['\0', 'postern\0', 'open4_ssh\0'],
  check: (bytes) => {
    for (const message of decodeMessages(bytes)) {
      const meaning = decodeMeaning(message);
      if (meaning.kind !== 'nftables') continue;
      const { table, name } = decodeNames(meaning.number, meaning.body);
      assert.ok(!table.includes('\0') && !name.includes('\0'));
      for (const { key, remaining, comment } of decodeElements(meaning.body)) {
        assert.ok(remaining >= 0 && key.length <= bytes.length && comment.length <= 255);
      }
    }
  },
  large: [
    {
      name: 'elements without end',
      sizes: [4000, 60_000],
      build: (size) =>
        encodeBatch(
          [{ action: 'add', set: 'open4_ssh', elements: Array(Math.floor(size / 20)).fill({ key: KEY }) }],
          9,
        ),
      read: readAll,
    },
    { name: 'nothing', sizes: [16_000, 256_000], build: (size) => new Uint8Array(size), read: readAll },
    {
      name: 'empty messages',
      sizes: [16_000, 256_000],
      build: (size) => new Uint8Array(size).map((_, at) => (at % 16 === 0 ? 16 : 0)),
      read: readAll,
    },
  ],
});
