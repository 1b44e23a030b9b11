import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  confirmPending,
  lastRejected,
  type PendingChange,
  readApplied,
  readPending,
  rejectPending,
  writeApplied,
  writePending,
} from '../../src/store/pending-change.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-pending-'));
after(() => rmSync(folder, { recursive: true }));

const CHANGE: PendingChange = {
  token: 'abc',
  file: '/etc/postern/postern.toml',
  previous: null,
  since: 1,
  until: 2,
  sessions: ['192.0.2.7 50123'],
};

const NOW = { wall: 1, uptime: 0 };

test('a change is pending until it is confirmed or taken back, for root alone to read', () => {
  assert.equal(readPending(folder), undefined);
  assert.equal(confirmPending(folder, 'abc', NOW), 'gone');
  writePending(folder, CHANGE);
  assert.equal(statSync(join(folder, 'pending.json')).mode & 0o777, 0o600);
  assert.deepEqual(readPending(folder), CHANGE);
  assert.equal(confirmPending(folder, 'abc', NOW), 'confirmed');
  assert.deepEqual([readPending(folder), lastRejected(folder)], [undefined, undefined]);
  writePending(folder, { ...CHANGE, token: 'def', previous: '# old\n' });
  rejectPending(folder);
  assert.deepEqual([readPending(folder), lastRejected(folder)], [undefined, 'def']);
});

test('what is damaged is no change', () => {
  for (const text of ['', '{', '[]', '{"token":1}', JSON.stringify({ ...CHANGE, sessions: 'x' })]) {
    writeFileSync(join(folder, 'pending.json'), text);
    assert.equal(readPending(folder), undefined, text);
  }
});

test('the configuration in force is remembered as text', () => {
  assert.equal(readApplied(folder), undefined);
  writeApplied(folder, '# ü\n');
  assert.equal(readApplied(folder), '# ü\n');
});
