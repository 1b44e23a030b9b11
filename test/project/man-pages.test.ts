/** The manual pages: there is one for every program, and troff has nothing to say about them. That they are fresh is held with the other generated files. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { manPages } from '../../scripts/man-pages.ts';
import { findProgram, Running } from '../support/running.ts';

const root = join(import.meta.dirname, '../..');
const pages = manPages();
const groff = findProgram('groff');

test('every program has its manual page, and npm installs it', () => {
  const { bin, man } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
    man: readonly string[];
  };
  assert.deepEqual(
    [...pages.keys()].map((path) => basename(path).replace(/\.\d$/, '')).sort(),
    Object.keys(bin).sort(),
  );
  assert.deepEqual([...pages.keys()].sort(), man.toSorted());
});

test('the manual of postern has every command with its options', () => {
  const text = (pages.get('doc/man/postern.1') ?? '').replaceAll('\\-', '-');
  for (const command of [
    'status',
    'show',
    'open',
    'close',
    'log',
    'watch',
    'reload',
    'check',
    'import',
    'completion',
  ]) {
    assert.match(text, new RegExp(`^\\.SS "${command} `, 'm'));
  }
  assert.match(text, /^\.B --for <duration>\n/m);
});

for (const [path, text] of pages) {
  test(`troff reads ${path} without a warning`, { skip: groff === undefined && 'not installed: groff' }, async () => {
    const { stdout, stderr } = await new Running([groff ?? '', '-man', '-Tutf8', '-ww'], { input: text }).end();
    assert.equal(stderr, '');
    assert.match(stdout, /postern \d+\.\d+/);
  });
}
