/** A full disk, a read-only disk: each on a small tmpfs of its own, mounted where nobody else sees it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../support/temporary-folder.ts';

const PROGRAM = join(import.meta.dirname, '../support/state-on-small-disk.ts');
const MOUNT = 'mount -t tmpfs -o size=1m,mode=700 none "$0" && exec "$@"';

function onSmallDisk(folder: string, argv: readonly string[]) {
  const options = { encoding: 'utf8', timeout: 60_000 } as const;
  return spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', MOUNT, folder, ...argv], options);
}

function whyNot(): string | false {
  using folder = temporaryFolder();
  const { status, error, stderr } = onSmallDisk(folder.path, ['true']);
  return status === 0 ? false : `cannot mount a tmpfs in a namespace: ${error?.message ?? stderr.trim()}`;
}

const skip = whyNot();

function scenario(name: string): void {
  using folder = temporaryFolder();
  const { status, stdout, stderr } = onSmallDisk(folder.path, [process.execPath, PROGRAM, name, folder.path]);
  assert.deepEqual([status, stdout, stderr], [0, 'done\n', '']);
}

test(
  'a disk that fills up: doors work from memory, nothing is spent, and all is written when there is room',
  { skip },
  () => scenario('full-later'),
);

test(
  'a disk that is full at the start: what it holds is read, doors work from memory, nothing is spent',
  { skip },
  () => scenario('full-at-start'),
);

test('a read-only disk: what it holds is read, its last commits too', { skip }, () => scenario('read-only'));

test('a read-only disk without a state: a state in memory', { skip }, () => scenario('read-only-and-new'));
