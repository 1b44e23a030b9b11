import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pace } from '../../src/control/pace.ts';
import { ManualClock } from '../support/manual-clock.ts';

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

test('`Pace` makes long answers one at a time, with a rest in proportion; short ones wait for nothing', async () => {
  const clock = new ManualClock();
  const pace = new Pace({ monotonicNow: clock.wallNow, after: clock.after });
  const made: string[] = [];
  const ask = (name: string, length: number) =>
    pace.run(async () => {
      made.push(name);
      return 'x'.repeat(length);
    });
  void ask('short', 10);
  void ask('long', 2_000_000);
  void ask('second', 10);
  await settle();
  assert.deepEqual(made, ['short', 'long']);
  clock.advance(99);
  await settle();
  assert.equal(made.length, 2);
  clock.advance(1);
  await settle();
  assert.deepEqual(made, ['short', 'long', 'second']);
});

test('`Pace` goes on after a failure', async () => {
  const clock = new ManualClock();
  const pace = new Pace({ monotonicNow: clock.wallNow, after: clock.after });
  await assert.rejects(
    pace.run(async () => {
      throw new Error('no');
    }),
    /no/,
  );
  assert.equal(await pace.run(async () => 'yes'), 'yes');
});
