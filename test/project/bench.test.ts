/** bench/README.md tells of every measurement that `npm run bench` makes, and of no other. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const bench = join(import.meta.dirname, '../../bench');

async function listed(): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(bench, 'run.ts'), '--list']);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t')[0] ?? '');
}

test('`--list` names each measurement once', async () => {
  const names = await listed();
  assert.ok(names.length >= 8);
  assert.equal(new Set(names).size, names.length);
});

test('bench/README.md explains each measurement and has a row with its figures', async () => {
  const readme = readFileSync(join(bench, 'README.md'), 'utf8');
  const table = /<!-- figures.*?-->(.*)<!-- end of figures -->/s.exec(readme)?.[1] ?? '';
  const rows = [...table.matchAll(/^\| ([a-z]+) \| /gm)].map((match) => match[1]);
  const explained = [...readme.matchAll(/^- \*\*([a-z]+)\*\*/gm)].map((match) => match[1]);
  const names = await listed();
  assert.deepEqual(new Set(rows), new Set(['measurement', ...names]));
  assert.deepEqual(explained, names);
});

test('An unknown measurement is refused before anything runs', async () => {
  const run = promisify(execFile)(process.execPath, [join(bench, 'run.ts'), '--only', 'nothing']);
  await assert.rejects(run, (error: { code?: number; stderr?: string }) => {
    assert.equal(error.code, 1);
    assert.equal(error.stderr, 'bench: No measurement "nothing"; --list names them\n');
    return true;
  });
});
