/**
 * What a state does on a disk that is full or read-only: run by test/store/disk.test.ts in a mount namespace of its own, on a small tmpfs that
 * is mounted at the folder of the second argument. The first one names the scenario; a broken expectation is an uncaught error.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GrantRow } from '../../src/store/rows.ts';
import { openSqliteStops } from '../../src/store/sqlite-stops.ts';
import { openState } from '../../src/store/state.ts';
import { manualPorts, RETENTION } from './state-ports.ts';

const SCENARIOS: Readonly<Record<string, (disk: string) => void>> = {
  'full-later': fullLater,
  'full-at-start': fullAtStart,
  'read-only': readOnly,
  'read-only-and-new': readOnlyAndNew,
};

const MINUTE = 60_000;

function grant(source: string): GrantRow {
  return { door: 'ssh', source, opened: 1, until: 2, longest: 1, via: 'knock' };
}

const sources = (grants: readonly GrantRow[]): readonly string[] => grants.map(({ source }) => source);

/** Leaves no byte free; the result frees them. */
function fill(disk: string): () => void {
  const file = join(disk, 'ballast');
  try {
    for (;;) writeFileSync(file, Buffer.alloc(4096), { flag: 'a' });
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
  return () => rmSync(file);
}

function fullLater(disk: string): void {
  const folder = join(disk, 'state');
  const ports = manualPorts();
  const { state, warnings } = openState(folder, ports, RETENTION);
  assert.deepEqual(warnings, []);
  state.grants.put(grant('10.0.0.1'));
  assert.equal(state.spent.spend('a'), true);
  const free = fill(disk);
  // The WAL may have room left in its last block; soon it has not.
  for (let count = 0; state.problem() === undefined && count < 100; count++) {
    state.grants.put({ ...grant('10.0.0.2'), user: 'x'.repeat(4000) });
  }
  assert.match(state.problem() ?? '', /full/);
  assert.equal(ports.said.length, 1);
  assert.match(ports.said[0] ?? '', /Cannot write .*state\.sqlite: .*full.*kept in memory/);

  state.grants.put(grant('10.0.0.3'));
  assert.equal(state.grants.end(grant('10.0.0.1')), true);
  state.history.append({ type: 'opened', door: 'ssh', detail: 'while full' });
  ports.clock.advance(2 * MINUTE);
  assert.throws(() => state.spent.spend('b'), { name: 'SpentError' });
  assert.deepEqual(sources(state.grants.all()), ['10.0.0.2', '10.0.0.3']);
  assert.equal(state.history.latest({}, 1)[0]?.detail, 'while full');
  assert.equal(ports.said.length, 1);

  free();
  ports.clock.advance(2 * MINUTE);
  assert.equal(state.problem(), undefined);
  assert.match(ports.said[1] ?? '', /written again/);
  assert.equal(state.spent.spend('c'), true);
  state.close();

  const again = openState(folder, ports, RETENTION);
  assert.deepEqual([again.warnings, again.setAside], [[], undefined]);
  assert.deepEqual(sources(again.state.grants.all()), ['10.0.0.2', '10.0.0.3']);
  assert.equal(again.state.history.latest({}, 1)[0]?.detail, 'while full');
  assert.deepEqual([again.state.spent.spend('a'), again.state.spent.spend('c')], [false, false]);
  again.state.close();
}

/** A state as a killed process leaves it: its last commits are in the WAL. */
function leftByAKill(disk: string): string {
  const original = join(disk, 'original');
  const folder = join(disk, 'state');
  const { state } = openState(original, manualPorts(), RETENTION);
  state.grants.put(grant('10.0.0.1'));
  state.history.append({ type: 'opened', door: 'ssh' });
  assert.equal(state.history.flush(), true);
  mkdirSync(folder, { mode: 0o700 });
  for (const name of readdirSync(original)) {
    if (!name.endsWith('-shm')) copyFileSync(join(original, name), join(folder, name));
  }
  assert.ok(existsSync(join(folder, 'state.sqlite-wal')));
  state.close();
  rmSync(original, { recursive: true });
  return folder;
}

/** Doors work from memory, begun with what is on the disk; nothing is spent. */
function worksInMemory(folder: string, expected: readonly string[]): void {
  const ports = manualPorts();
  const { state, readOnly, setAside, warnings } = openState(folder, ports, RETENTION);
  assert.deepEqual([readOnly, setAside], [true, undefined]);
  assert.match(warnings.join('\n'), /Cannot write .*state\.sqlite: .*: grants and history are kept in memory/);
  assert.match(state.problem() ?? '', /Cannot write/);
  assert.deepEqual(sources(state.grants.all()), expected);
  assert.equal(state.history.latest({}, 9).length, expected.length);
  state.grants.put(grant('10.0.0.7'));
  assert.equal(state.grants.end(grant('10.0.0.7')), true);
  state.history.append({ type: 'opened' });
  ports.clock.advance(MINUTE);
  assert.equal(state.history.latest({}, 9).length, expected.length + 1);
  assert.throws(() => state.spent.spend('new'), { name: 'SpentError', message: /refused/ });
  state.close();
}

function fullAtStart(disk: string): void {
  const folder = leftByAKill(disk);
  const free = fill(disk);
  worksInMemory(folder, ['10.0.0.1']);
  free();
  const { state, warnings } = openState(folder, manualPorts(), RETENTION);
  assert.deepEqual(warnings, []);
  assert.deepEqual(sources(state.grants.all()), ['10.0.0.1']);
  assert.equal(state.spent.spend('new'), true);
  state.close();
}

function readOnly(disk: string): void {
  const folder = leftByAKill(disk);
  remountReadOnly(disk);
  worksInMemory(folder, ['10.0.0.1']);
  assert.throws(() => openSqliteStops(join(folder, 'stops.sqlite')), /read-only/);
}

function readOnlyAndNew(disk: string): void {
  remountReadOnly(disk);
  worksInMemory(join(disk, 'state'), []);
}

function remountReadOnly(disk: string): void {
  const { status, stderr } = spawnSync('mount', ['-o', 'remount,ro', disk], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

const [scenario = '', folder = ''] = process.argv.slice(2);
SCENARIOS[scenario]?.(folder);
process.stdout.write('done\n');
