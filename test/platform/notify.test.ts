/** What systemd asks of a service in its environment is taken from there once, and only when it is meant for this process. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeWatchdogTime } from '../../src/platform/notify.ts';

test('The time of the watchdog is taken out of the environment, in milliseconds', () => {
  const env = { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '77', PATH: '/bin' };
  assert.equal(takeWatchdogTime(env, 77), 60_000);
  assert.deepEqual(env, { PATH: '/bin' });
  assert.equal(takeWatchdogTime(env, 77), undefined);
});

test('A watchdog without a process id is everybody’s', () => {
  assert.equal(takeWatchdogTime({ WATCHDOG_USEC: '1500' }, 77), 1.5);
});

test('A watchdog of another process is not ours, and goes no further', () => {
  const env = { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '78' };
  assert.equal(takeWatchdogTime(env, 77), undefined);
  assert.deepEqual(env, {});
});

for (const time of ['', '0', '-1', '1e6', 'x', '60 ', '9'.repeat(17)]) {
  test(`"${time}" is no time for a watchdog`, () => {
    assert.equal(takeWatchdogTime({ WATCHDOG_USEC: time }, 77), undefined);
  });
}
