import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryEvent } from '../../src/core/history.ts';
import { limitStrangers } from '../../src/keeper/log-limit.ts';

test('strangers get 500 lines at once and 20 a second; the rest is counted; what we cause is always said', () => {
  const said: string[] = [];
  let now = 0;
  const say = limitStrangers(
    ({ type, detail }: HistoryEvent) => void said.push(detail === undefined ? type : `${type}: ${detail}`),
    () => now,
  );
  for (let count = 0; count < 700; count += 1) say({ type: 'refused' });
  assert.equal(said.splice(0).length, 500);
  say({ type: 'reloaded' });
  assert.deepEqual(said.splice(0), ['omitted: 200 lines about strangers', 'reloaded']);
  now = 1000;
  for (let count = 0; count < 30; count += 1) say({ type: 'trapped' });
  assert.equal(said.splice(0).length, 20);
  say({ type: 'opened' });
  assert.deepEqual(said, ['omitted: 10 lines about strangers', 'opened']);
});

test('a flood that lasts for days gets two lines a second, counts included', () => {
  let lines = 0;
  let now = 0;
  const say = limitStrangers(
    () => void lines++,
    () => now,
  );
  const perDay: number[] = [];
  for (let day = 0; day < 3; day += 1) {
    lines = 0;
    for (let tick = 0; tick < 86_400; tick += 1) {
      now += 1000;
      for (let count = 0; count < 25; count += 1) say({ type: 'failed' });
    }
    perDay.push(lines);
  }
  assert.ok(perDay[0]! <= 192_801 && perDay[1]! <= 172_801 && perDay[2]! <= 172_801, perDay.join());
  assert.ok(perDay[2]! >= 170_000, perDay.join());
});
