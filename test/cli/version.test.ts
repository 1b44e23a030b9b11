import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readVersion } from '../../src/cli/version.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-version-'));
after(() => rmSync(folder, { recursive: true }));

test("readVersion() is package.json's version", () => {
  const file = join(import.meta.dirname, '..', '..', 'package.json');
  assert.equal(readVersion(), JSON.parse(readFileSync(file, 'utf8')).version);
});

test("readVersion() passes over other packages' files on its way up", () => {
  mkdirSync(join(folder, 'dist', 'deep'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"name": "postern", "version": "9.8.7"}');
  writeFileSync(join(folder, 'dist', 'package.json'), '{"type": "module"}');
  assert.equal(readVersion(join(folder, 'dist', 'deep')), '9.8.7');
});
