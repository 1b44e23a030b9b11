import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { timeLeft } from '../../src/store/due.ts';

test('a grant lasts until its time, by an honest clock', () => {
  assert.equal(timeLeft(10_000, 30_000, 4_000), 6_000);
  assert.equal(timeLeft(10_000, 30_000, 10_000), 0);
});

test('a clock set forward ends it, a clock set back gives it its own length at most', () => {
  assert.equal(timeLeft(10_000, 30_000, 1e15), 0);
  assert.equal(timeLeft(10_000, 30_000, -1e15), 30_000);
});

test('whatever the clock says, it is never negative and never longer than its own length', () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(), fc.integer(), (due, longest, now) => {
      const left = timeLeft(due, longest, now);
      assert.ok(left >= 0 && left <= longest);
    }),
  );
});
