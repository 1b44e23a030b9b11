/** Pages that name a test name one that there is; and in tables of what is "shown by" a test or a page, each row does, or says that it does not. */

import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const pages = globSync(['*.md', 'doc/*.md', 'bench/*.md'], { cwd: root }).sort();
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
/** What stands in place of a test where none can show it. */
const NOTHING = ['–', 'nothing to test here'];

for (const page of pages.filter((each) => /\btest\//.test(read(each)))) {
  test(`${page} names tests that there are`, () => {
    const named = [...read(page).matchAll(/(?<![\w/-])test\/[\w./-]*[\w/]/g)].map(([path]) => path);
    const missing = named.filter((path) => !existsSync(join(root, path)));
    assert.deepEqual(missing, []);
  });
}

test('every claim of a table is shown by a test or a page, or said not to be', () => {
  let rows = 0;
  for (const page of pages) {
    const tables = read(page).matchAll(/^\|.*\| shown by \|\n\|[-|]+\|\n((?:\|.*\|\n)+)/gm);
    for (const row of [...tables].flatMap((table) => table[1]!.trim().split('\n'))) {
      rows += 1;
      const [last = ''] = row.split('|').slice(-2);
      assert.ok(NOTHING.includes(last.trim()) || /`test\/|\]\(/.test(last), `${page}: ${row}`);
    }
  }
  assert.ok(rows > 30, String(rows));
});
