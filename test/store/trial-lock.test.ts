import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addSessions,
  beginPending,
  confirmPending,
  outcomeOf,
  type PendingChange,
  readPending,
  timeLeft,
  withdrawPending,
} from '../../src/store/pending-change.ts';
import { lockTrial, whileLocked } from '../../src/store/trial-lock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FIRST: PendingChange = {
  token: 'a1',
  file: '/etc/postern/postern.toml',
  previous: null,
  since: 1000,
  until: 61_000,
  began: 500,
  by: 'ann from 192.0.2.7',
  sessions: [],
};
const SECOND: PendingChange = { ...FIRST, token: 'b2' };
const NOW = { wall: 2000, uptime: 1500 };

test('one trial at a time: the second hears whose the first is, and nothing of it is touched', () => {
  using folder = temporaryFolder();
  assert.equal(beginPending(folder.path, FIRST), undefined);
  assert.deepEqual(beginPending(folder.path, SECOND), FIRST);
  withdrawPending(folder.path, 'b2');
  addSessions(folder.path, 'b2', ['192.0.2.7 1']);
  assert.equal(confirmPending(folder.path, 'b2', NOW), 'gone');
  assert.deepEqual(readPending(folder.path), FIRST);
  addSessions(folder.path, 'a1', ['192.0.2.7 1']);
  assert.deepEqual(readPending(folder.path)?.sessions, ['192.0.2.7 1']);
  assert.equal(outcomeOf(folder.path, 'a1'), undefined);
  assert.equal(confirmPending(folder.path, 'a1', NOW), 'confirmed');
  assert.deepEqual([outcomeOf(folder.path, 'a1'), outcomeOf(folder.path, 'b2')], ['confirmed', undefined]);
  assert.equal(beginPending(folder.path, SECOND), undefined);
  withdrawPending(folder.path, 'b2');
  assert.deepEqual([readPending(folder.path), outcomeOf(folder.path, 'b2')], [undefined, undefined]);
});

test('whoever has the lock is not disturbed, and it is free when he is gone', () => {
  using folder = temporaryFolder();
  const lock = lockTrial(folder.path);
  assert.notEqual(lock, undefined);
  assert.equal(lockTrial(folder.path), undefined);
  assert.equal(
    whileLocked(folder.path, () => assert.fail(), 0),
    'busy',
  );
  lock?.release();
  assert.equal(
    whileLocked(folder.path, () => 'mine', 0),
    'mine',
  );
});

test('what is late does not count, whatever the wall clock says', () => {
  using folder = temporaryFolder();
  beginPending(folder.path, FIRST);
  assert.equal(timeLeft(FIRST, { wall: 9e9, uptime: 1500 }), 59_000);
  const { began: _, ...older } = SECOND;
  assert.equal(timeLeft({ ...older, until: 2500 }, NOW), 500, 'where only the wall clock was written down');
  assert.equal(confirmPending(folder.path, 'a1', { wall: 0, uptime: 60_500 }), 'late');
  assert.equal(readPending(folder.path)?.token, 'a1');
});
