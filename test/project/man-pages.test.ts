/** The manual pages: there is one for every program, and troff has nothing to say about them. That they are fresh is held with the other generated files. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { EXAMPLE } from '../../scripts/knockd-conf-page.ts';
import { manPages } from '../../scripts/man-pages.ts';
import { parseKnockdConf } from '../../src/config/knockd-conf.ts';
import { DOOR_KEYS, OPTION_KEYS } from '../../src/config/knockd-keys.ts';
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
    [...pages.keys()].flatMap((path) => /([^/]+)\.[18]$/.exec(path)?.[1] ?? []).sort(),
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

test('knockd.conf(5) has every key in every spelling, and an example that nothing is to be said about', () => {
  const text = (pages.get('doc/man/knockd.conf.5') ?? '').replaceAll('\\-', '-').toUpperCase();
  for (const key of [...OPTION_KEYS.keys(), ...DOOR_KEYS.keys()])
    assert.match(text, new RegExp(`^\\.B (.*, )?${key} = `, 'm'));
  assert.match(text, /^\.B USESYSLOG$/m);
  const { ok, problems } = parseKnockdConf(EXAMPLE.join('\n'), {
    file: 'knockd.conf',
    readFile: () => new Uint8Array(),
  });
  assert.deepEqual([ok, problems], [true, []]);
});

for (const [path, text] of pages) {
  test(`troff reads ${path} without a warning`, { skip: groff === undefined && 'not installed: groff' }, async () => {
    const { stdout, stderr } = await new Running([groff ?? '', '-man', '-Tutf8', '-ww'], { input: text }).end();
    assert.equal(stderr, '');
    assert.match(stdout, /postern \d+\.\d+/);
  });
}
