/** Starts that fail are endings: nothing that starts a program throws, or ends a promise badly. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { feedProgram, runHook, startCapture, startConnected, startOutliving } from '../../src/platform/process.ts';

const LIMITS = { timeout: 1000, limit: 100 };

test('A start that is refused at once is how the program ended', async () => {
  const argv = ['/bin/\0sh'] as const;
  const programs = [
    startCapture(argv),
    startOutliving(argv),
    startConnected(argv, { descriptors: [], argv0: 'x' }),
    startConnected(['/bin/true'], { descriptors: [undefined], argv0: 'x' }),
  ];
  for (const program of programs) {
    assert.ok('failed' in (await program.ended));
    program.kill('SIGKILL');
  }
  assert.ok('failed' in (await feedProgram(argv, '', LIMITS)).ending);
  assert.ok('failed' in (await runHook(argv, {}, LIMITS)).ending);
});

test('What is written last is read, even by somebody whom the program leaves behind', async () => {
  const afterwards = 'parent=$$; (while kill -0 $parent 2>/dev/null; do :; done; echo late) & exit 3';
  const { ending, output } = await feedProgram(['/bin/sh', '-c', afterwards], '', { timeout: 20_000, limit: 100 });
  assert.deepEqual([ending, output], [{ status: 3 }, 'late\n']);
});

test('Who holds the pipes open for ever is not waited for', async () => {
  const { ending, output } = await feedProgram(['/bin/sh', '-c', 'sleep 60 & echo $!'], '', LIMITS);
  process.kill(Number(output), 'SIGKILL');
  assert.deepEqual(ending, { status: 0 });
});

/** Opens all descriptors that the process may have, then starts programs of every kind and tells how they ended. */
const EXHAUSTED = `
import { closeSync, openSync } from 'node:fs';
import * as p from '${new URL('../../src/platform/process.ts', import.meta.url).href}';
await p.runShell('exit 1').ended;
await p.feedProgram(['/bin/true'], '', { timeout: 1000, limit: 10 });
const opened = [];
try { for (;;) opened.push(openSync('/dev/null')); } catch {}
const argv = ['/bin/true'];
const limits = { timeout: 1000, limit: 10 };
const connected = p.startConnected(argv, { descriptors: [], argv0: 'x' });
connected.channel.write('nobody reads this');
const endings = await Promise.all([
  p.runShell('exit 3').ended,
  p.feedProgram(argv, 'input', limits).then((r) => r.ending),
  p.runHook(argv, {}, limits).then((r) => r.ending),
  connected.ended, p.startOutliving(argv).ended, p.startCapture(argv).ended,
]);
for (const fd of opened) closeSync(fd);
process.stdout.write(JSON.stringify(endings.map((e) => 'failed' in e ? 'failed' : e)));
process.exit(0);
`;

test('Without descriptors to spare, programs end as failed, and a shell line that needs none runs', {
  skip: process.platform !== 'linux' && 'needs ulimit -n and posix_spawn',
}, () => {
  const run = spawnSync(
    '/bin/sh',
    ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, EXHAUSTED],
    { encoding: 'utf8', timeout: 60_000 },
  );
  assert.equal(run.status, 0, run.stderr);
  assert.deepEqual(JSON.parse(run.stdout), [{ status: 3 }, ...Array<string>(5).fill('failed')]);
});
