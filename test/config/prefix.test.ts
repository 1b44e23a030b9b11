import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { maskAddress, PREFIX_PATTERN, parsePrefix, printPrefix } from '../../src/config/prefix.ts';
import { isHost, parseAddress } from '../../src/core/address.ts';
import { contains } from '../../src/core/policy.ts';

describe('parsePrefix()', () => {
  for (const text of ['192.0.2.7', '10.0.0.0/8', '0.0.0.0/0', '::/0', '2001:db8::/32', '2001:db8::1', 'fe80::/10']) {
    test(`reads "${text}"`, () => {
      const reading = parsePrefix(text);
      assert.ok('value' in reading);
      assert.equal(printPrefix(reading.value), text);
      assert.match(text, new RegExp(PREFIX_PATTERN));
    });
  }

  for (const [text, hint] of [
    ['10.0.0.1/8', 'Write "10.0.0.0/8" for the block, or "10.0.0.1" for the one address'],
    ['10.0.0.0/255.0.0.0', 'Write "10.0.0.0/8"'],
    ['10.0.0.0/33', 'Write a length from 0 to 32 after "/"'],
    ['10.0.0.0/', 'Write a length from 0 to 32 after "/"'],
    ['2001:db8::/129', 'Write a length from 0 to 128 after "/"'],
    ['::ffff:192.0.2.1', 'Write "192.0.2.1"'],
    ['any', 'Write "0.0.0.0/0" and "::/0", or leave the list out: then everybody may knock'],
    ['office.example.com', 'Write the address: host names are not looked up'],
    [' 192.0.2.1', 'Write "192.0.2.1"'],
    ['1..2.3', 'Write an address or a block, such as "192.0.2.7" or "2001:db8::/32"'],
    ['0.0.0.0', 'Write "0.0.0.0/0" for everybody, or an address of a host'],
    ['::', 'Write "::/0" for everybody, or an address of a host'],
    ['224.0.0.1', 'Write "0.0.0.0/0" for everybody, or an address of a host'],
  ] as const) {
    test(`refuses "${text}" with a way out`, () => {
      const reading = parsePrefix(text);
      assert.ok('hint' in reading);
      assert.ok(reading.message.startsWith(`Cannot read the address "${text}"`), reading.message);
      assert.equal(reading.hint, hint);
    });
  }

  test('reads what printPrefix() prints, and holds the addresses it was made from', () => {
    const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const address = fc.oneof(
      word.map((d) => ({ a: 0, b: 0, c: 0xffff, d })),
      fc.record({ a: word, b: word, c: word, d: word }),
    );
    fc.assert(
      fc.property(address, fc.nat(128), (from, bits) => {
        const length = from.a === 0 && from.b === 0 && from.c === 0xffff ? bits % 33 : bits;
        const masked = maskAddress(from, length);
        const prefix = { address: masked, length };
        if (!isHost(masked) || !parseAddress(printPrefix({ address: masked, length: 0 }).split('/')[0] ?? '')) return;
        assert.deepEqual(parsePrefix(printPrefix(prefix)), { value: prefix });
        assert.ok(contains(prefix, from));
      }),
    );
  });
});
