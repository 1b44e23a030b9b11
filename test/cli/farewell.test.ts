import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LAST_WORDS, leaveSoon } from '../../src/cli/farewell.ts';
import { ManualClock } from '../support/manual-clock.ts';

test('A daemon that was told to end waits for its reader, but not for ever', () => {
  const clock = new ManualClock();
  const ended: number[] = [];
  assert.equal(leaveSoon(15, { after: clock.after, exit: (status) => ended.push(status) }), 15);
  clock.advance(LAST_WORDS - 1);
  assert.deepEqual(ended, []);
  clock.advance(1);
  assert.deepEqual(ended, [15]);
});
