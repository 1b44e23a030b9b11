/** The completions, asked as the shells ask. A shell that is not installed is named and passed over. */

import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { main } from '../../src/cli/postern.ts';
import { controlDaemon } from '../support/control-daemon.ts';
import { FakeTerminal } from '../support/fake-terminal.ts';
import { findProgram, Running } from '../support/running.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';

async function script(shell: string): Promise<string> {
  const terminal = new FakeTerminal();
  assert.equal(await main(['completion', shell], terminal), 0);
  return terminal.out;
}

/** A folder with a `postern` that knows two doors, and the script as `file`. */
async function layOut(shell: string, file: string): Promise<TemporaryFolder> {
  const folder = temporaryFolder();
  writeFileSync(join(folder.path, file), await script(shell));
  const stand = join(folder.path, 'postern');
  writeFileSync(stand, '#!/bin/sh\n[ "$2" = x.toml ] && echo only\necho ssh\necho web\n');
  chmodSync(stand, 0o755);
  return folder;
}

const bash = findProgram('bash');

const WORDS: readonly (readonly [string, readonly string[]])[] = [
  ['postern st', ['status']],
  ['postern --config x.toml re', ['reload']],
  ['postern show ', ['ssh', 'web']],
  ['postern -c x.toml open ', ['only', 'ssh', 'web']],
  ['postern open --for 30s w', ['web']],
  ['postern open ssh ', []],
  ['postern log --door ', ['ssh', 'web']],
  ['postern log --fo', ['--follow']],
  ['postern log --since ', []],
  ['postern completion ', ['bash', 'fish', 'zsh']],
  ['postern --so', ['--socket']],
  ['postern check x', ['x.toml']],
];

const OTHERS: readonly (readonly [string, readonly string[]])[] = [
  ['posternd --st', ['--strict']],
  ['posternd -c x', ['x.toml']],
  ['posternd x', []],
  ['/usr/local/bin/knockd --lo', ['--logfile', '--lookup']],
  ['knockd --logfile x', ['x.toml']],
  ['knockd --interface x', []],
  ['knockd --run', ['--run-commands']],
  ['knock --js', ['--json']],
  ['knock --repeat x', []],
];

test('bash completes commands, options, doors and files', {
  skip: bash === undefined && 'not installed: bash',
}, async () => {
  using folder = await layOut('bash', 'completion');
  writeFileSync(join(folder.path, 'x.toml'), '');
  for (const [line, expected] of [...WORDS, ...OTHERS]) {
    const complete = line.startsWith('postern ') ? '_postern' : '_postern_others';
    const words = line.split(' ').map((word) => `'${word}'`);
    const program = `. ./completion; PATH=$PWD:$PATH; COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; ${complete}; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = await new Running([bash ?? '', '--norc', '-c', program], { cwd: folder.path }).end();
    assert.deepEqual([stdout.split('\n').filter(Boolean).sort(), stderr], [expected, ''], line);
  }
});

for (const shell of ['bash', 'zsh', 'fish']) {
  const program = findProgram(shell);
  test(`${shell} takes its completions`, { skip: program === undefined && `not installed: ${shell}` }, async () => {
    using folder = await layOut(shell, 'completion');
    const { stderr } = await new Running([program ?? '', '-n', join(folder.path, 'completion')]).end();
    assert.equal(stderr, '');
  });
}

test('zsh has a line for every command, each with what is quoted closed again', async () => {
  const text = await script('zsh');
  assert.match(text, /^#compdef postern posternd knockd knock\n/);
  assert.match(text, /^ {4}knock\) _arguments .*'1:host:_hosts'; return ;;$/m);
  for (const name of ['status', 'open', 'close', 'completion'])
    assert.match(text, new RegExp(`^ {8}${name}\\) _arguments `, 'm'));
  const quotes = text.replaceAll("'\\''", '').split("'").length - 1;
  assert.equal(quotes % 2, 0);
});

test('fish has a line for every command and option', async () => {
  const text = await script('fish');
  assert.match(text, /-a status -d '/);
  assert.match(text, /from open' -a '\(__postern_doors\)'/);
  assert.match(text, /^complete -c knockd -s c -l config -r -F -d '/m);
  assert.match(text, /from log' -s d -l door -r -a '\(__postern_doors\)' -d '/);
});

test('the names of the doors come from the daemon, else from the configuration, else there are none', async () => {
  await using at = await controlDaemon();
  assert.deepEqual((await at.postern('complete-doors')).out, 'ssh\nweb\n');
  await at.stop();
  assert.deepEqual((await at.postern('complete-doors')).out, 'ssh\nhand\n');
  writeFileSync(at.config, 'nonsense');
  assert.deepEqual(await at.postern('complete-doors'), { status: 0, out: '', err: '' });
});
