/** `npm run demo` does what it says, to the end, and leaves nothing behind, also after Ctrl-C. It draws its own topology: scripts/demo.ts. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { unavailable } from '../support/netns.ts';

const skip = unavailable('nft');
const demo = join(import.meta.dirname, '../../scripts/demo.ts');

function namespacesOf(pid: number): readonly string[] {
  const list = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout;
  return list.split('\n').filter((line) => line.startsWith(`postern-${pid}-`));
}

async function run(interruptAt?: RegExp): Promise<{ status: number | null; output: string; pid: number }> {
  const child = spawn(process.execPath, [demo], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (interruptAt?.test(output)) child.kill('SIGINT');
    });
  }
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { status, output, pid: child.pid! };
}

test('the demo opens, closes, survives scans and kills, and says so', { skip, timeout: 120_000 }, async () => {
  const { status, output, pid } = await run();
  assert.equal(status, 0, output);
  assert.equal(output.match(/✓/g)?.length, 8, output);
  assert.doesNotMatch(output, /✗/);
  assert.deepEqual(namespacesOf(pid), []);
});

test('Ctrl-C ends the demo with 130 and takes its namespaces away', { skip, timeout: 60_000 }, async () => {
  const { status, output, pid } = await run(/Our knockd starts/);
  assert.equal(status, 130, output);
  assert.deepEqual(namespacesOf(pid), []);
});
