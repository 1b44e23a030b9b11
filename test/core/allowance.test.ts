import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Allowance } from '../../src/core/allowance.ts';

function taken(allowance: Allowance, tries: number, now: number): number {
  return Array.from({ length: tries }, () => allowance.take(now)).filter(Boolean).length;
}

test('`Allowance.take()` gives the burst at once and refills with time', () => {
  const allowance = new Allowance({ perSecond: 10, burst: 5 });
  assert.equal(taken(allowance, 8, 1000), 5);
  assert.equal(taken(allowance, 8, 1099), 0);
  assert.equal(taken(allowance, 8, 1100), 1);
  assert.equal(taken(allowance, 8, 1400), 3);
  assert.equal(taken(allowance, 8, 100_000), 5);
});

test('`Allowance.take()` refills nothing when the clock steps back', () => {
  const allowance = new Allowance({ perSecond: 10, burst: 1 });
  assert.equal(allowance.take(1000), true);
  assert.equal(allowance.take(0), false);
  assert.equal(allowance.take(1050), false);
  assert.equal(allowance.take(1100), true);
});

test('`Allowance.take()` takes nothing away when the clock steps back, and does not count the way twice', () => {
  const allowance = new Allowance({ perSecond: 10, burst: 5 });
  assert.equal(taken(allowance, 2, 1000), 2);
  assert.equal(allowance.take(0), true);
  assert.equal(allowance.left, 2);
  assert.equal(taken(allowance, 9, 1000), 2);
  assert.equal(allowance.left, 0);
});

test('`Allowance.take()` never gives more than the burst and what the time allows', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 500 }), { maxLength: 300 }), (steps) => {
      const allowance = new Allowance({ perSecond: 20, burst: 7 });
      let now = 0;
      let given = 0;
      for (const step of steps) {
        now += step;
        if (allowance.take(now)) given += 1;
        assert.ok(given <= 7 + (now * 20) / 1000 + 1e-6);
      }
    }),
  );
});
