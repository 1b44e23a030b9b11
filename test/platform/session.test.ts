import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { canSpawnSessions, startSession } from '../../src/platform/session.ts';

const skip = !canSpawnSessions() && 'needs Linux with pidfd_open';
const folder = mkdtempSync(join(tmpdir(), 'postern-session-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const shell = (line: string) => startSession('/bin/sh', ['sh', '-c', line]);

test('`startSession()` tells the exit status', { skip }, async () => {
  assert.deepEqual(await shell('exit 7').ended, { status: 7 });
  assert.deepEqual(await shell('true').ended, { status: 0 });
});

test('`startSession()` tells the signal that ended the program', { skip }, async () => {
  assert.deepEqual(await shell('kill -KILL $$').ended, { signal: 'SIGKILL' });
  const sleeping = shell('exec sleep 60');
  sleeping.kill('SIGTERM');
  assert.deepEqual(await sleeping.ended, { signal: 'SIGTERM' });
  sleeping.kill('SIGTERM');
});

test('`startSession()` tells why a program could not be started', { skip }, async () => {
  const { pid, ended } = startSession(join(folder, 'absent'), ['absent']);
  assert.equal(pid, undefined);
  assert.deepEqual(await ended, { failed: 'posix_spawn: No such file or directory' });
});

test('A program gets a session of its own, the environment, and none of our descriptors but 0 to 2', {
  skip,
}, async () => {
  const file = join(folder, 'facts');
  const secret = openSync(join(folder, 'secret'), 'w');
  process.env.POSTERN_TEST = 'a b\nc';
  const { pid, ended } = shell(`{ ps -o sid= -p $$; ls /proc/$$/fd; printf '%s' "$POSTERN_TEST"; } >${file}`);
  assert.deepEqual(await ended, { status: 0 });
  const [session = '', ...rest] = readFileSync(file, 'utf8').split('\n');
  assert.equal(Number(session), pid);
  const descriptors = rest.filter((line) => /^\d+$/.test(line));
  for (const kept of ['0', '1', '2']) assert.ok(descriptors.includes(kept), `${descriptors}`);
  assert.ok(!descriptors.includes(String(secret)), `${descriptors} has ${secret}`);
  assert.deepEqual(rest.slice(-2), ['a b', 'c']);
  closeSync(secret);
});

test('A program finds every signal as it is by default, and none blocked', { skip }, async () => {
  const file = join(folder, 'signals');
  assert.deepEqual(await shell(`grep -E '^Sig(Blk|Ign)' /proc/self/status >${file}`).ended, { status: 0 });
  assert.match(readFileSync(file, 'utf8'), /^SigBlk:\t0+\nSigIgn:\t0+\n$/);
});

test("Children of Node's and of ours do not take each other's endings", { skip }, async () => {
  const numbers = Array.from({ length: 20 }, (_, index) => index);
  const endings = await Promise.all(
    numbers.map(async (number) => {
      const theirs = once(spawn('/bin/sh', ['-c', `exit ${number}`]), 'exit');
      const ours = shell(`exit ${100 + number}`).ended;
      return [(await theirs)[0], await ours];
    }),
  );
  assert.deepEqual(
    endings,
    numbers.map((number) => [number, { status: 100 + number }]),
  );
});
