/** Whose stop commands a daemon takes over at its start, and what becomes of them where the disk does not play along. */

import assert from 'node:assert/strict';
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openStops, stateFile } from '../../src/keeper/open-stops.ts';
import { lockState } from '../../src/keeper/state-lock.ts';
import { openSqliteStops } from '../../src/store/sqlite-stops.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const STOP = { door: 'A', source: '10.0.0.1', command: 'close', due: 5, longest: 3 };

/** A state file that a daemon left behind. */
function leave(file: string, command: string): void {
  const { store } = openSqliteStops(file);
  store.add({ ...STOP, command });
  store.close();
}

function commandsIn(file: string): readonly string[] {
  const { store } = openSqliteStops(file);
  const commands = store.all().map((stop) => stop.command);
  store.close();
  return commands;
}

/** Nobody who would have to be waited for is there. */
const impatient = (): Promise<void> => Promise.resolve();

test('A daemon on other interfaces takes over what nobody holds, and leaves what somebody holds', async () => {
  using folder = temporaryFolder();
  const [own, gone, held] = ['eth0', 'eth1', 'eth2'].map((name) => stateFile(folder.path, '/etc/knockd.conf', name));
  if (!own || !gone || !held) throw new Error('three files');
  leave(own, 'close own');
  leave(gone, 'close gone');
  leave(held, 'close held');
  const lock = lockState(held, 'daemon');
  assert.ok('release' in lock);
  const { store, file, warnings } = await openStops(own, impatient);
  assert.deepEqual([file, warnings], [own, []]);
  assert.deepEqual(
    store.all().map((stop) => stop.command),
    ['close own', 'close gone'],
  );
  assert.deepEqual(commandsIn(gone), [], 'it is run once');
  lock.release();
  store.close();
  assert.deepEqual(commandsIn(held), ['close held']);
});

test('Other files in the folder are no state of a daemon', async () => {
  using folder = temporaryFolder();
  const own = stateFile(folder.path, '/etc/knockd.conf', 'eth0');
  leave(join(folder.path, 'state.sqlite'), 'close native');
  leave(join(folder.path, 'knockd-0123456789abcdef.sqlite.bak'), 'close copy');
  const { store } = await openStops(own, impatient);
  assert.deepEqual(store.all(), []);
  store.close();
});

test('Commands that somebody else could have written are not run', async (t) => {
  const spoilings: readonly [string, (file: string) => void][] = [
    ['a file for all', (file) => chmodSync(file, 0o666)],
    ['a file of another user', (file) => chownSync(file, 12345, 12345)],
    ['a folder for a group', (file) => chmodSync(dirname(file), 0o770)],
    ['a WAL for all', (file) => writeFileSync(`${file}-wal`, '', { mode: 0o666 })],
  ];
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  for (const [what, spoil] of spoilings) {
    using folder = temporaryFolder();
    const file = stateFile(folder.path, '/etc/knockd.conf', 'eth0');
    leave(file, 'close');
    spoil(file);
    const { store, file: onDisk, warnings } = await openStops(file, impatient);
    assert.deepEqual([store.all(), onDisk], [[], undefined], what);
    assert.match(warnings.join('\n'), /can be written by others: .*chown root, chmod go-w/, what);
  }
});

test('A stray of another user is left alone, and said', async () => {
  using folder = temporaryFolder();
  const [own, stray] = ['eth0', 'eth1'].map((name) => stateFile(folder.path, '/etc/knockd.conf', name));
  if (!own || !stray) throw new Error('two files');
  leave(stray, 'close');
  chownSync(stray, 12345, 12345);
  const { store, file, warnings } = await openStops(own, impatient);
  assert.deepEqual([store.all(), file], [[], own]);
  assert.match(warnings.join('\n'), /can be written by others/);
  store.close();
});

test('A daemon that has the same configuration keeps its stops; the second one begins with none', async () => {
  using folder = temporaryFolder();
  const file = stateFile(folder.path, '/etc/knockd.conf', 'eth0');
  leave(file, 'close');
  const lock = lockState(file, 'daemon');
  assert.ok('release' in lock);
  const { store, warnings } = await openStops(file, impatient);
  assert.deepEqual(store.all(), []);
  assert.match(warnings.join(), new RegExp(`another knockd has this configuration \\(pid ${process.pid}\\)`));
  lock.release();
});

test('A lock that still names a dead daemon is waited for, not believed', async () => {
  using folder = temporaryFolder();
  const file = stateFile(folder.path, '/etc/knockd.conf', 'eth0');
  const lock = lockState(file, 'closer');
  assert.ok('release' in lock);
  // As it is between flock(2) and the write: the name is the last holder's.
  writeFileSync(`${file}.lock`, '99999999 daemon\n');
  let pauses = 0;
  const { file: onDisk } = await openStops(file, async () => {
    pauses += 1;
    if (pauses === 40) lock.release();
  });
  assert.equal(onDisk, file);
  assert.equal(readFileSync(`${file}.lock`, 'utf8'), `${process.pid} daemon\n`);
});
