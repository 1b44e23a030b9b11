import assert from 'node:assert/strict';
import { chmodSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createFolder } from '../../src/platform/folder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('createFolder() makes a folder and those above it, for their owner alone', () => {
  using folder = temporaryFolder();
  createFolder(join(folder.path, 'a/b/c'));
  for (const path of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(folder.path, path)).mode & 0o777, 0o700);
});

test('createFolder() leaves a folder that is there as it is', () => {
  using folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  createFolder(folder.path);
  assert.equal(statSync(folder.path).mode & 0o777, 0o755);
});

test('createFolder() throws where there can be none, instead of trying for ever', () => {
  using folder = temporaryFolder();
  writeFileSync(join(folder.path, 'file'), '');
  symlinkSync('/nowhere/at/all', join(folder.path, 'dangling'));
  const cannot = ['/proc/nowhere', '/proc/no/where', join(folder.path, 'file/a'), join(folder.path, 'dangling/a')];
  for (const path of cannot) assert.throws(() => createFolder(path), path);
});
