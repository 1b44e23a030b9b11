/** `postern log` where no daemon runs: what the last one has written down. */

import assert from 'node:assert/strict';
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { HistoryEvent } from '../../src/core/history.ts';
import { openState, STATE_FILE } from '../../src/store/state.ts';
import { type ControlDaemon, controlDaemon } from '../support/control-daemon.ts';
import { manualPorts, RETENTION } from '../support/state-ports.ts';

process.env.TZ = 'UTC';

const EVENTS: readonly HistoryEvent[] = [
  { type: 'opened', door: 'ssh', source: '192.0.2.7', via: 'knock' },
  { type: 'refused', door: 'ssh', source: '198.51.100.66', reason: 'no grant', detail: 'tcp/22' },
  { type: 'opened', door: 'ssh', source: '2001:db8:1:2::', via: 'knock' },
];

/** A daemon that has ended; `killed`, with its last entries still in the WAL. */
async function gone(killed = false): Promise<ControlDaemon & { readonly file: string }> {
  const at = await controlDaemon();
  await at.stop();
  const folder = dirname(at.socket);
  const ports = manualPorts();
  const { state } = openState(folder, ports, RETENTION);
  for (const event of EVENTS) {
    ports.clock.advance(1000);
    state.history.append(event);
  }
  state.history.flush();
  if (!killed) state.close();
  const file = join(folder, STATE_FILE);
  assert.equal(statSync(`${file}-wal`, { throwIfNoEntry: false }) !== undefined, killed);
  return Object.assign(at, { file });
}

function contents(folder: string): readonly string[] {
  return readdirSync(folder).map((name) => {
    const { size, mtimeMs, ino } = statSync(join(folder, name));
    return `${name} ${size} ${mtimeMs} ${ino}`;
  });
}

for (const killed of [false, true]) {
  test(`a daemon that was ${killed ? 'killed' : 'stopped'} has left its history, which is read and not touched`, async () => {
    await using at = await gone(killed);
    const before = contents(dirname(at.file));
    assert.deepEqual(await at.postern('log'), {
      status: 0,
      out: `2030-01-01 00:00:01  opened    ssh   192.0.2.7       by knock
2030-01-01 00:00:02  refused   ssh   198.51.100.66   no grant tcp/22
2030-01-01 00:00:03  opened    ssh   2001:db8:1:2::  by knock
`,
      err: `postern: No daemon runs; this is from ${at.file}\n`,
    });
    assert.deepEqual(contents(dirname(at.file)), before);
  });
}

test('it is asked as the daemon would be', async () => {
  await using at = await gone();
  const lines = async (...words: string[]): Promise<readonly string[]> =>
    (await at.postern('log', '--json', ...words)).out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { source: string }).source);
  assert.deepEqual(await lines('-t', 'refused'), ['198.51.100.66']);
  assert.deepEqual(await lines('-s', '192.0.2.7'), ['192.0.2.7']);
  assert.deepEqual(await lines('-s', '2001:db8:1:2::7'), ['2001:db8:1:2::'], 'its network');
  assert.deepEqual(await lines('-n', '1'), ['2001:db8:1:2::']);
  assert.deepEqual(await lines('--since', '2030-01-01T00:00:02Z'), ['198.51.100.66', '2001:db8:1:2::']);
  assert.deepEqual(await lines('-d', 'hand'), []);
});

test('a configuration that the daemon does not take any more still says where the history is', async () => {
  await using at = await gone();
  writeFileSync(at.config, '[state]\ndir = "state"\n[door.ssh\n');
  assert.equal((await at.postern('log', '-n', '1')).status, 0);
});

test('what comes cannot be followed, and where nothing is nothing is read', async () => {
  await using at = await gone();
  const alone = async (...words: string[]): Promise<string> => {
    const { err, ...rest } = await at.postern(...words);
    assert.deepEqual(rest, { status: 1, out: '' }, words.join(' '));
    return err;
  };
  assert.match(await alone('log', '-f'), /^postern: No daemon at /);
  writeFileSync(at.file, 'no database'.repeat(1000));
  assert.match(await alone('log'), /^postern: Cannot read what it has left: .*\npostern: No daemon at /);
  rmSync(at.file);
  assert.match(await alone('log'), /^postern: No daemon at /);
});
