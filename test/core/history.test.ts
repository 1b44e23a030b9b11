import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isByHand, STRANGERS } from '../../src/core/history.ts';

test('`isByHand()` is what somebody asked for: by its way, by a name, by the reason', () => {
  assert.equal(isByHand({ type: 'opened', via: 'hand' }), true);
  assert.equal(isByHand({ type: 'closed', via: 'knock', user: 'alice' }), true);
  assert.equal(isByHand({ type: 'closed', via: 'knock', reason: 'by hand' }), true);
  assert.equal(isByHand({ type: 'opened', via: 'knock' }), false);
  assert.equal(isByHand({ type: 'closed', via: 'knock', reason: 'the door is gone' }), false);
  assert.equal(isByHand({ type: 'started' }), false);
});

test('What strangers cause is told from what only we cause', () => {
  assert.deepEqual([...STRANGERS].sort(), ['banned', 'denied', 'failed', 'refused', 'scanned', 'trapped', 'unbanned']);
});
