/** Blocks of addresses, beside the same said with big integers. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Address, family } from '../../src/core/address.ts';
import {
  admits,
  blockOf,
  contains,
  networkOf,
  type Prefix,
  printPrefix,
  widestPrefixes,
} from '../../src/core/policy.ts';
import { address } from '../support/knocks.ts';

const word = fc.oneof(fc.constantFrom(0, -1, 1, 0xffff), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
const anyAddress: fc.Arbitrary<Address> = fc.oneof(
  word.map((d) => ({ a: 0, b: 0, c: 0xffff, d })),
  fc.record({ a: word, b: word, c: word, d: word }),
);

function bitsOf({ a, b, c, d }: Address): bigint {
  return [a, b, c, d].reduce((sum, part) => (sum << 32n) | BigInt(part >>> 0), 0n);
}

function firstBits(of: Address, length: number): bigint {
  const left = BigInt((family(of) === 4 ? 32 : 128) - length);
  return (bitsOf(of) >> left) << left;
}

function prefix(text: string): Prefix {
  const [network = '', length = ''] = text.split('/');
  return { address: address(network), length: Number(length) };
}

/** Like the other up to some bit, so that blocks meet. */
const pair = fc.tuple(anyAddress, fc.nat(127), fc.nat(128)).map(([one, flipped, length]) => {
  const bits = bitsOf(one) ^ (1n << BigInt(family(one) === 4 ? flipped % 32 : flipped));
  const part = (shift: bigint): number => Number((bits >> shift) & 0xffffffffn) | 0;
  const other = { a: part(96n), b: part(64n), c: part(32n), d: part(0n) };
  return { one, other, length: family(one) === 4 ? length % 33 : length };
});

test('what is done to an IPv4 source is done to it alone, and to the whole network of an IPv6 one', () => {
  assert.equal(printPrefix(blockOf(address('192.0.2.7'), 56)), '192.0.2.7');
  assert.equal(printPrefix(blockOf(address('2001:db8:1:2ff::7'), 56)), '2001:db8:1:200::/56');
});

test('`networkOf()` keeps the first bits and no other', () => {
  fc.assert(
    fc.property(pair, ({ one, length }) => {
      assert.equal(bitsOf(networkOf(one, length)), firstBits(one, length));
    }),
    { numRuns: 1000 },
  );
});

test('`contains()` is to begin with the same bits, in the same family', () => {
  fc.assert(
    fc.property(pair, ({ one, other, length }) => {
      const block = { address: networkOf(one, length), length };
      assert.ok(family(block.address) !== family(one) || contains(block, one));
      if (family(block.address) !== family(other)) assert.equal(contains(block, other), false);
      else if (family(one) === family(other)) {
        assert.equal(contains(block, other), firstBits(one, length) === firstBits(other, length));
      }
    }),
    { numRuns: 2000 },
  );
});

test('`contains()` knows the ends of a block', () => {
  for (const [block, inside, outside] of [
    ['192.0.2.128/25', ['192.0.2.128', '192.0.2.255'], ['192.0.2.127', '192.0.3.128', '::c000:280']],
    ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255'], ['::', '::1']],
    ['::/0', ['::', '2001:db8::1'], ['192.0.2.1']],
    ['2001:db8::/33', ['2001:db8:7fff::'], ['2001:db8:8000::', '2001:db9::']],
    ['2001:db8::7/128', ['2001:db8::7'], ['2001:db8::6', '2001:db8::8']],
    ['192.0.2.7/32', ['192.0.2.7'], ['192.0.2.6']],
  ] as const) {
    for (const text of inside) assert.ok(contains(prefix(block), address(text)), `${text} in ${block}`);
    for (const text of outside) assert.ok(!contains(prefix(block), address(text)), `${text} in ${block}`);
  }
});

test('`widestPrefixes()` leaves out what another one holds, and doubles', () => {
  const blocks = ['10.1.0.0/16', '10.0.0.0/8', '192.0.2.7/32', '192.0.2.7/32', '::/0', 'fe80::/10', '11.0.0.0/8'];
  const widest = widestPrefixes(blocks.map(prefix)).map(printPrefix);
  assert.deepEqual(widest, ['::/0', '10.0.0.0/8', '11.0.0.0/8', '192.0.2.7']);
});

test('`printPrefix()` leaves the length of a whole address out', () => {
  const texts = ['10.0.0.0/8', '192.0.2.7/31', '2001:db8::/32', '2001:db8::/64'];
  assert.deepEqual(
    texts.map((text) => printPrefix(prefix(text))),
    texts,
  );
  assert.equal(printPrefix(prefix('2001:db8::7/128')), '2001:db8::7');
});

test('`admits()` takes who is allowed, or everybody, but nobody who is denied', () => {
  const allow = [prefix('192.0.2.0/24')];
  const deny = [prefix('192.0.2.7/32')];
  for (const [door, text, expected] of [
    [{ allow: [], deny: [] }, '198.51.100.1', true],
    [{ allow, deny: [] }, '192.0.2.7', true],
    [{ allow, deny: [] }, '198.51.100.1', false],
    [{ allow, deny }, '192.0.2.7', false],
    [{ allow, deny }, '192.0.2.8', true],
    [{ allow: [], deny }, '192.0.2.7', false],
    [{ allow: [], deny }, '198.51.100.1', true],
  ] as const) {
    assert.equal(admits(door, address(text)), expected, `${text} by ${JSON.stringify(door)}`);
  }
});
