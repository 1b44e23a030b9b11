import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitStrangers } from '../../src/keeper/log-limit.ts';

const STAGE = { time: 0, door: 'ssh', source: '192.0.2.7', stage: 1, of: 3 };

/** A log behind the limit, and the time. */
function limited(shows: (what: string) => boolean = () => true) {
  const said: string[] = [];
  const clock = { now: 0 };
  const log = limitStrangers(
    {
      shows,
      event: ({ type, detail }) => void said.push(detail === undefined ? type : `${type}: ${detail}`),
      stage: () => void said.push('stage'),
    },
    () => clock.now,
  );
  return { log, said, clock };
}

function repeat(count: number, act: () => void): void {
  for (let done = 0; done < count; done += 1) act();
}

test('strangers get 500 lines at once and 20 a second; the rest is counted; what we cause is always said', () => {
  const { log, said, clock } = limited();
  repeat(700, () => log.event({ type: 'refused' }));
  assert.equal(said.splice(0).length, 500);
  log.event({ type: 'reloaded' });
  assert.deepEqual(said.splice(0), ['omitted: 200 lines about strangers', 'reloaded']);
  clock.now = 1000;
  repeat(30, () => log.event({ type: 'trapped' }));
  assert.equal(said.splice(0).length, 20);
  log.event({ type: 'opened' });
  assert.deepEqual(said, ['omitted: 10 lines about strangers', 'opened']);
});

test('knocks on the way get as many, and take no room from events', () => {
  const { log, said, clock } = limited();
  repeat(700, () => log.stage(STAGE));
  assert.equal(said.splice(0).length, 500);
  log.event({ type: 'failed' });
  assert.deepEqual(said.splice(0), ['failed']);
  clock.now = 100;
  log.stage(STAGE);
  log.stage(STAGE);
  assert.deepEqual(said.splice(0), ['omitted: 200 lines about knocks on the way', 'stage']);
});

test('what the level leaves out is not missed', () => {
  const { log, said } = limited((what) => what === 'reloaded');
  repeat(700, () => log.stage(STAGE));
  repeat(700, () => log.event({ type: 'failed' }));
  log.event({ type: 'reloaded' });
  assert.deepEqual(said, ['reloaded']);
});

test('a flood that lasts for days gets two lines a second, counts included', () => {
  const { log, said, clock } = limited();
  const perDay: number[] = [];
  for (let day = 0; day < 3; day += 1) {
    for (let tick = 0; tick < 86_400; tick += 1) {
      clock.now += 1000;
      repeat(25, () => log.event({ type: 'failed' }));
    }
    perDay.push(said.splice(0).length);
  }
  assert.ok(perDay[0]! <= 192_801 && perDay[1]! <= 172_801 && perDay[2]! <= 172_801, perDay.join());
  assert.ok(perDay[2]! >= 170_000, perDay.join());
});
