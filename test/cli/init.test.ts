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

test('it asks until there is an answer that can be used', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const [face = 'lo'] = interfaceNames();
  const bad = ['ssh', 'www', '70000', '1-65535 udp/1-65535'];
  const { status, asked, err } = await answered(file, [face, ...bad, 'TCP:2222, 8080 53/udp']);
  assert.deepEqual([status, asked.length], [0, 7]);
  assert.match(err, /No ports are left for a knock\nhint: Let fewer ports disappear/);
  assert.match(readFileSync(file, 'utf8'), /protect = \["tcp\/2222", "tcp\/8080", "udp\/53"\]/);
});

test('at the question it is said when knocks are not heard where the session came in', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const terminal = new FakeTerminal();
  const asked: string[] = [];
  const question = async (text: string): Promise<string> => {
    asked.push(terminal.err);
    return text.startsWith('Where') ? 'lo' : '';
  };
  const environment = { SSH_CONNECTION: '192.0.2.7 50000 192.0.2.1 22' };
  const status = await main(
    ['--config', file, 'init', '--no-apply'],
    Object.assign(terminal, { question, environment }),
  );
  assert.equal(status, 0);
  assert.match(asked[1] ?? '', /^warning: This session came in at 192\.0\.2\.1, .*knocks are heard on lo: /m);
});

test('an option that cannot be used is named, and nothing is written', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const tried = async (...words: string[]): Promise<string> => {
    const terminal = new FakeTerminal();
    assert.equal(await main(['--config', file, 'init', '--yes', '--no-apply', ...words], terminal), 2);
    assert.equal(existsSync(file), false);
    return terminal.err;
  };
  assert.match(await tried('--protect', 'ssh'), /'-p, --protect <port>' argument 'ssh' is invalid\. Write the number/);
  assert.match(
    await tried('-i', 'nosuch0'),
    /'-i, --interface <name>' argument 'nosuch0' is invalid\. .*there are any, /,
  );
});

test('interfaces and ports add up, as `22`, too', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'postern.toml');
  const [face = 'lo', other = face] = interfaceNames();
  const words = [...new Set([face, other])].flatMap((name) => ['-i', name]);
  const all = ['--config', file, 'init', '--yes', '--no-apply', ...words, '-p', '22', '-p', 'UDP/51820'];
  assert.equal(await main(all, new FakeTerminal()), 0);
  const text = readFileSync(file, 'utf8');
  assert.match(text, /protect = \["tcp\/22", "udp\/51820"\]/);
  for (const name of [face, other]) assert.match(text, new RegExp(`^interfaces = .*"${name}"`, 'm'));
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
