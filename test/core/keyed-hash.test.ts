import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyedHash } from '../../src/core/keyed-hash.ts';

test('keyedHash() gives the known answer of HalfSipHash-1-3 for 16 bytes', () => {
  // Bytes 0..15 under the key bytes 0..7: test_vectors_hsiphash[16] of Linux's lib/siphash_kunit.c (32-bit).
  const hash = keyedHash([0x03020100, 0x07060504], 0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);
  assert.equal(hash >>> 0, 0x8b31d501);
});

test('keyedHash() depends on every bit of seed and words', () => {
  const input = [1, 2, 3, 4, 5, 6];
  const hash = (words: readonly number[]): number =>
    keyedHash([words[0]!, words[1]!], words[2]!, words[3]!, words[4]!, words[5]!);
  const seen = new Set([hash(input)]);
  for (let bit = 0; bit < 192; bit += 1) {
    seen.add(hash(input.map((word, index) => (index === bit >> 5 ? word ^ (1 << (bit & 31)) : word))));
  }
  assert.equal(seen.size, 193);
});

test('keyedHash() spreads neighbouring addresses evenly over buckets', () => {
  const buckets = new Array<number>(256).fill(0);
  for (let host = 0; host < 65_536; host += 1) {
    const bucket = keyedHash([7, 9], 0, 0, 0xffff, 0x0a000000 + host) & 255;
    buckets[bucket]! += 1;
  }
  assert.ok(
    Math.min(...buckets) > 150 && Math.max(...buckets) < 370,
    `${Math.min(...buckets)} ${Math.max(...buckets)}`,
  );
});
