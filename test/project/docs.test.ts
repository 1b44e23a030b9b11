/** The task pages of doc/ say what is so, as far as that can be told without packets; test/e2e/posternd-pages.test.ts runs them. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { readTaskPage, TASK_PAGES } from '../support/task-pages.ts';

const root = join(import.meta.dirname, '../..');
/** A minute to read. */
const MOST_WORDS = 420;

for (const page of TASK_PAGES) {
  const file = `doc/${page}.md`;
  describe(file, () => {
    test('has configurations that are taken without a doubt, and commands', () => {
      const steps = readTaskPage(page);
      assert.ok(steps.length > 0);
      for (const step of steps) {
        if (step.kind !== 'config') continue;
        const text = new TextEncoder().encode(step.text);
        const { problems } = parsePosternToml(text, { file, directory: '/etc/postern' });
        assert.deepEqual(problems, [], `${file}:${step.line}`);
      }
    });

    test('links to what there is, and is short', () => {
      const text = readFileSync(join(root, file), 'utf8');
      const links = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!);
      const missing = links.filter((link) => !/^https?:/.test(link) && !existsSync(join(root, dirname(file), link)));
      assert.deepEqual(missing, []);
      assert.ok(text.split(/\s+/).length <= MOST_WORDS);
    });
  });
}
