/** A question at a terminal, and those who do not answer it: one quiet line, an exit status, nothing half done. */

import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { main } from '../../src/cli/postern.ts';
import { askLine, Unanswered } from '../../src/cli/question.ts';
import { FakeTerminal } from '../support/fake-terminal.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** What comes of these keys. */
async function typed(keys: string, { terminal = true, end = false } = {}): Promise<string | number> {
  const input = new PassThrough();
  const asked = askLine('Well? ', { input, output: new PassThrough(), terminal });
  input.write(keys);
  if (end) input.end();
  try {
    return await asked;
  } catch (error) {
    assert.ok(error instanceof Unanswered, String(error));
    return error.status;
  }
}

describe('a question', () => {
  test('has the line that was typed for an answer', async () => {
    assert.equal(await typed('yes\r'), 'yes');
    assert.equal(await typed('yes\n', { terminal: false }), 'yes');
  });

  test('is not answered by Ctrl-C, by Ctrl-D, or by a terminal that goes away', async () => {
    assert.equal(await typed('ye\x03'), 130);
    assert.equal(await typed('\x04'), 1);
    assert.equal(await typed('', { terminal: false, end: true }), 1);
  });
});

/** Runs postern; the question with this number, from 1, is not answered, those before it as usual. */
async function leftAt(number: number, status: 1 | 130, words: readonly string[]) {
  const terminal = new FakeTerminal();
  let asked = 0;
  const question = async (): Promise<string> => {
    asked += 1;
    if (asked === number) throw new Unanswered(status);
    return '';
  };
  const ended = await main(words, Object.assign(terminal, { question }));
  return { ended, err: terminal.err, asked };
}

for (const [number, status] of [
  [1, 130],
  [3, 1],
] as const) {
  test(`\`postern init\` that is left at question ${number} writes nothing and says one line`, async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'postern.toml');
    const { ended, err, asked } = await leftAt(number, status, ['--config', file, 'init', '--no-apply']);
    assert.deepEqual([ended, asked, existsSync(file)], [status, number, false]);
    assert.equal(err, 'postern: Ended at a question: nothing was put in force\n');
  });
}

test('`postern apply` that is told "n" says in one line that nothing was put in force', async (context) => {
  if (process.geteuid?.() !== 0) return context.skip('only root may apply');
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const door = '[door.web]\nprotect = ["tcp/8081"]\n[door.web.knock]\nsteps = ["tcp/7001", "udp/8421", "tcp/6107"]\n';
  writeFileSync(file, `[state]\ndir = "${folder.path}/state"\n${door}`, { mode: 0o600 });
  const terminal = new FakeTerminal();
  const question = async (): Promise<string> => 'n';
  assert.equal(await main(['--config', file, 'apply'], Object.assign(terminal, { question })), 1);
  const last = `postern: Nothing was put in force. When it is to be: postern --config ${file} apply\n`;
  assert.ok(terminal.err.endsWith(last), terminal.err);
  assert.equal(existsSync(join(folder.path, 'state')), false);
});
