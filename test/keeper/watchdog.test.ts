/** systemd hears from the daemon only while both halves answer. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LATELY, startWatchdog } from '../../src/keeper/watchdog.ts';
import { ManualClock } from '../support/manual-clock.ts';

const TIME = 60_000;

function stage(time = TIME) {
  const clock = new ManualClock();
  const pings: number[] = [];
  let answered = 0;
  const end = startWatchdog({
    time,
    answered: () => answered,
    ping: () => void pings.push(clock.monotonicNow()),
    monotonicNow: clock.monotonicNow,
    after: clock.after,
  });
  const answer = (): void => {
    answered = clock.monotonicNow();
  };
  return { clock, pings, answer, end };
}

test('Pings come at once, then at a third of the time, while the watcher answers', () => {
  const { clock, pings, answer } = stage();
  for (let second = 0; second < 60; second += 1) {
    clock.advance(1000);
    answer();
  }
  assert.deepEqual(pings, [0, 20_000, 40_000, 60_000]);
});

test('A watcher that answers no more ends the pings soon enough for systemd to notice', () => {
  const { clock, pings } = stage(3000);
  clock.advance(200_000);
  assert.ok(pings.at(-1)! <= LATELY);
  assert.ok(LATELY - pings.at(-1)! < 1000);
});

test('A watcher that answers again in time is forgiven', () => {
  const { clock, pings, answer } = stage(30_000);
  clock.advance(LATELY + 10_000);
  const before = pings.length;
  answer();
  clock.advance(10_000);
  assert.equal(pings.length, before + 1);
});

test('A watcher that has never answered brings no ping', () => {
  const clock = new ManualClock();
  const pings: number[] = [];
  const ping = (): void => void pings.push(0);
  startWatchdog({ time: TIME, answered: () => undefined, ping, monotonicNow: clock.monotonicNow, after: clock.after });
  clock.advance(10 * TIME);
  assert.deepEqual(pings, []);
});

test('Ended, it pings no more and leaves no timer', () => {
  const { clock, pings, end } = stage();
  end();
  clock.advance(10 * TIME);
  assert.deepEqual(pings, [0]);
  assert.equal(clock.timers, 0);
});
