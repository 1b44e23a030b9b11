/** Strangers' texts that are short: addresses in what a watcher or a local user says, and host names that DNS servers answer with. */

import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { parseAddress, printAddress, sameAddress } from '../../src/core/address.ts';
import { nameFromGetent } from '../../src/keeper/names.ts';
import { fuzz, readSamples } from '../support/fuzz.ts';

const decoder = new TextDecoder();

fuzz({
  name: '`parseAddress()`',
  samples: readSamples('addresses.txt'),
  words: ['::', ':0:', '.0', '.255', '::ffff:', '%', '1234'],
  check: (bytes) => {
    const text = decoder.decode(bytes);
    const address = parseAddress(text);
    // The runtime takes a zone, which no address of ours has.
    assert.equal(address !== undefined, isIP(text) !== 0 && !text.includes('%'), text);
    if (!address) return;
    for (const word of Object.values(address)) assert.equal(word, word | 0);
    const again = parseAddress(printAddress(address));
    assert.ok(again && sameAddress(again, address), printAddress(address));
  },
  large: [
    { name: 'colons', sizes: [1000, 16_000], build: (size) => new Uint8Array(size).fill(0x3a), read: readAddress },
    { name: 'digits', sizes: [1000, 16_000], build: (size) => new Uint8Array(size).fill(0x31), read: readAddress },
  ],
});

function readAddress(bytes: Uint8Array): unknown {
  return parseAddress(decoder.decode(bytes));
}

fuzz({
  name: '`nameFromGetent()`',
  samples: readSamples('names.txt'),
  words: ['\n', ' ', '.example', '10.0.0.1 '],
  check: (bytes) => {
    const name = nameFromGetent(decoder.decode(bytes));
    if (name !== undefined) assert.match(name, /^[A-Za-z0-9._-]{1,253}$/);
  },
  large: [
    { name: 'blanks', sizes: [4000, 64_000], build: (size) => new Uint8Array(size).fill(0x20), read: readName },
    { name: 'one name', sizes: [4000, 64_000], build: (size) => new Uint8Array(size).fill(0x61), read: readName },
  ],
});

function readName(bytes: Uint8Array): unknown {
  return nameFromGetent(decoder.decode(bytes));
}
