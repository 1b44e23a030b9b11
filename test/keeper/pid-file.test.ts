import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PidFileTaken, writePidFile } from '../../src/keeper/pid-file.ts';
import { Running } from '../support/running.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const HOLDER = join(import.meta.dirname, '../support/lock-holder.ts');

test('A pid file holds the process id and a newline, and goes with `remove()`', () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'pid');
  writeFileSync(path, '123456789 left by somebody, and longer\n');
  const file = writePidFile(path);
  assert.equal(readFileSync(path, 'utf8'), `${process.pid}\n`);
  file.remove();
  assert.equal(existsSync(path), false);
});

test('A pid file whose process lives is taken; one whose process was killed is not', {
  skip: process.platform === 'win32' && 'needs flock',
}, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'pid');
  const holder = new Running([process.execPath, HOLDER, 'pid', path]);
  await holder.waitForLine(/^held$/);
  assert.throws(
    () => writePidFile(path),
    (error) => {
      assert.ok(error instanceof PidFileTaken);
      assert.equal(error.message, `knockd is already running (pid ${holder.pid}): it holds the pid file ${path}`);
      return true;
    },
  );
  assert.equal(readFileSync(path, 'utf8'), `${holder.pid}\n`, 'the refused one leaves it alone');
  await holder.stop('SIGKILL');
  assert.equal(existsSync(path), true);
  writePidFile(path).remove();
});

test('A lock that a stranger holds on a dead daemon’s file keeps nobody out', {
  skip: process.platform === 'win32' && 'needs flock',
}, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'pid');
  const dead = new Running([process.execPath, '-e', '']);
  await dead.end();
  const stranger = new Running(['flock', '--no-fork', '-n', path, 'sh', '-c', 'echo held; exec sleep 30']);
  await stranger.waitForLine(/^held$/);
  writeFileSync(path, `${dead.pid}\n`);
  writePidFile(path).remove();
  await stranger.stop('SIGKILL');
});

test('`remove()` leaves a file that is not its own any more', () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'pid');
  const first = writePidFile(path);
  const inode = statSync(path).ino;
  // As `rm` by hand and another start would do.
  writeFileSync(`${path}.new`, 'x\n');
  renameSync(`${path}.new`, path);
  assert.notEqual(statSync(path).ino, inode);
  first.remove();
  assert.equal(readFileSync(path, 'utf8'), 'x\n');
});

test('A pid file in a folder that is not there is the system’s error', () => {
  assert.throws(() => writePidFile('/nonexistent/pid'), { code: 'ENOENT' });
});
