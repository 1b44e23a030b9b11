import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { lockAfterGuard } from '../../src/keeper/guard-lock.ts';
import { lockState } from '../../src/keeper/state-lock.ts';
import { Running } from '../support/running.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const HOLDER = join(import.meta.dirname, '../support/lock-holder.ts');

test('One process holds a state file; others learn who it is; it cannot outlive its holder', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'deep/state.sqlite');
  const holder = new Running([process.execPath, HOLDER, 'state', file]);
  await holder.waitForLine(/^held$/);
  assert.equal(statSync(dirname(file)).mode & 0o777, 0o700);
  assert.deepEqual(lockState(file, 'closer'), { holder: { pid: holder.pid, role: 'daemon' } });
  await holder.stop('SIGKILL');
  const mine = lockState(file, 'closer');
  assert.ok('release' in mine);
  const second = lockState(file, 'daemon');
  assert.deepEqual(second, { holder: { pid: process.pid, role: 'closer' } });
  mine.release();
  const third = lockState(file, 'daemon');
  assert.ok('release' in third);
  third.release();
});

test('A daemon waits for `--guard-only`, which has the lock for a moment, and for no other daemon', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'net');
  const guard = lockState(file, 'guard');
  assert.ok('release' in guard);
  const waits: number[] = [];
  const mine = await lockAfterGuard(file, async (delay) => {
    waits.push(delay);
    if (waits.length === 3) guard.release();
  });
  assert.ok('release' in mine);
  assert.equal(waits.length, 3);
  const refused = await lockAfterGuard(file, () => assert.fail('it waits'));
  assert.deepEqual(refused, { holder: { pid: process.pid, role: 'daemon' } });
  mine.release();

  const hung = lockState(file, 'guard');
  assert.ok('release' in hung);
  let waited = 0;
  const late = await lockAfterGuard(file, async (delay) => {
    waited += delay;
  });
  assert.ok('holder' in late && waited >= 30_000, 'a guard that hangs is not waited for for ever');
  hung.release();
});
