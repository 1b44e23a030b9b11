/** `postern init` asking a person: answers that cannot be used are asked for again. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/cli/postern.ts';
import { interfaceNames } from '../../src/platform/interfaces.ts';
import { FakeTerminal } from '../support/fake-terminal.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Runs `init --no-apply` with these answers. */
async function answered(
  file: string,
  answers: readonly string[],
): Promise<{ status: number; asked: string[]; err: string }> {
  const left = [...answers];
  const asked: string[] = [];
  const terminal = new FakeTerminal();
  const question = async (text: string): Promise<string> => {
    asked.push(text.replace(/ \[.*/, ''));
    return left.shift() ?? '';
  };
  const status = await main(['--config', file, 'init', '--no-apply'], Object.assign(terminal, { question }));
  return { status, asked, err: terminal.err };
}

test('what cannot be used is said with its remedy, and asked for again', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const [face = 'lo'] = interfaceNames();
  const { status, asked, err } = await answered(file, [face, 'ssh', 'tcp/22, udp/51820', '22', '1m']);
  assert.deepEqual(
    [status, asked],
    [
      0,
      [
        'Where do knocks come in?',
        'Which ports disappear?',
        'Which ports disappear?',
        'For how long does a knock open them?',
        'For how long does a knock open them?',
      ],
    ],
  );
  assert.match(err, /Cannot read the ports "ssh"\nhint: /);
  assert.match(err, /Cannot read the duration "22"\nhint: /);
  assert.match(readFileSync(file, 'utf8'), /protect = \["tcp\/22", "udp\/51820"\]\nopen_for = "1m"/);
});

test('who answers nothing that can be used is not asked for ever, and nothing is written', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const [face = 'lo'] = interfaceNames();
  const { status, asked } = await answered(file, [face, 'ssh', 'www', 'mail']);
  assert.deepEqual([status, asked.length, existsSync(file)], [1, 4, false]);
});

test('with `--json` the standard output is one document, in the words that the configuration has; the rest goes to standard error', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const terminal = new FakeTerminal();
  const [face = 'lo'] = interfaceNames();
  // The state cannot be made: whatever is to be put in force, it ends before anything is.
  writeFileSync(join(folder.path, 'state'), '');
  const words = ['--interface', face, '--protect', 'tcp/2222', '--protect', 'udp/51820', '--open-for', '1m'];
  const state = join(folder.path, 'state/below');
  const status = await main(['--config', file, 'init', '--yes', '--json', '--state', state, ...words], terminal);
  assert.equal(status, 1);
  const { steps, knock, ...rest } = JSON.parse(terminal.out) as Record<string, string[]>;
  assert.deepEqual(rest, {
    config: file,
    interfaces: [face],
    protect: ['tcp/2222', 'udp/51820'],
    door: 'door',
    open_for: '1m',
  });
  assert.equal(steps?.length, 6);
  assert.match(String(knock), /^knock /);
  if (process.geteuid?.() === 0) assert.match(terminal.err, /^\+ protect = \["tcp\/2222"/m);
});
