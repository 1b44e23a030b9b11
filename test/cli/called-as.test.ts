/** Under which name knock and knockd complain, beside what the C library's argv[0] is for theirs. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { calledAs } from '../../src/cli/called-as.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const BIN = join(import.meta.dirname, '../../bin');

test('What PATH finds first was called by its name, everything else as it is written', () => {
  const isProgram = (file: string): boolean => ['/a/knock', '/b/knock'].includes(file);
  const called = (script: string, path: string | undefined): string => calledAs({ script, path, isProgram });
  assert.equal(called('/a/knock', '/none:/a:/b'), 'knock');
  assert.equal(called('/b/knock', '/none:/a:/b'), '/b/knock');
  assert.equal(called('/c/knock', '/none:/a'), '/c/knock');
  assert.equal(called('/a/knock', undefined), '/a/knock');
  assert.equal(called('bin/knock', '/a'), 'bin/knock');
});

test('A mistake is told under the name of the call, as the original tells it', {
  skip: process.platform !== 'linux' && 'only Linux tells a script how it was called',
}, () => {
  using folder = temporaryFolder();
  const tools = join(folder.path, 'tools');
  mkdirSync(tools);
  symlinkSync('/usr/bin/env', join(tools, 'env'));
  for (const name of ['knock', 'knockd']) symlinkSync(join(BIN, name), join(folder.path, name));
  for (const call of ['knock', 'knockd', './knock', './knockd', '"$0"/knock', '"$0"/knockd']) {
    const run = (home: string) => {
      const searched = call.includes('/') ? [] : [home];
      const env = { ...process.env, PATH: [...searched, dirname(process.execPath), tools].join(':') };
      const { stderr } = spawnSync('/bin/sh', ['-c', `${call} -x`, home], { cwd: home, env, encoding: 'utf8' });
      return stderr.split('\n')[0]?.replaceAll(home, 'HOME');
    };
    const ours = run(folder.path);
    assert.match(ours ?? '', /: invalid option -- 'x'$/);
    for (const home of ['/usr/bin', '/usr/sbin']) {
      const original = join(home, call.includes('knockd') ? 'knockd' : 'knock');
      if (existsSync(original)) assert.equal(ours, run(home));
    }
  }
});
