import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyedHash } from '../../src/core/keyed-hash.ts';
import { WeightSketch } from '../../src/core/weight-sketch.ts';

const SEED = [0x0123_4567, 0x89ab_cdef] as const;
const hashOf = (who: number): number => keyedHash(SEED, 0, 0, 0, who);

test('a sketch of weights adds up, forgets by halves, and is bounded', () => {
  const sketch = new WeightSketch(SEED);
  sketch.halve();
  assert.deepEqual([sketch.add(hashOf(1), 5), sketch.add(hashOf(1), 2), sketch.add(hashOf(2), 1)], [5, 7, 1]);
  sketch.halve();
  assert.deepEqual([sketch.add(hashOf(1), 1), sketch.add(hashOf(2), 1)], [4, 1]);
  for (let turn = 0; turn < 20_000; turn += 1) sketch.add(hashOf(3), 5);
  assert.equal(sketch.add(hashOf(3), 5), 0xffff);
  for (let turn = 0; turn < 17; turn += 1) sketch.halve();
  assert.equal(sketch.add(hashOf(3), 5), 5);
});

test('nobody is taken down by what others do, however many share his cells', () => {
  const sketch = new WeightSketch(SEED);
  const weightOf = (who: number): number => 1 + (who % 9);
  for (let who = 1; who <= 50_000; who += 1) sketch.add(hashOf(who), weightOf(who));
  for (let who = 1; who <= 50_000; who += 1) assert.ok(sketch.add(hashOf(who), 0) >= weightOf(who), `${who}`);
});

test('in a crowd of 50,000 it says too much of few, and too little of nobody', () => {
  const sketch = new WeightSketch(SEED);
  let much = 0;
  for (let who = 1; who <= 50_000; who += 1) {
    const weight = sketch.add(hashOf(who), 5);
    assert.ok(weight >= 5);
    if (weight > 5) much += 1;
  }
  assert.ok(much < 5000, `${much}`);
});
