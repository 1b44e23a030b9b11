/** The state as a whole: its stores together, its timer, with a disk and without. */

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openMemorySpent } from '../../src/store/memory-spent.ts';
import type { GrantRow } from '../../src/store/rows.ts';
import { openMemoryState, openState, STATE_FILE, type State } from '../../src/store/state.ts';
import { type ManualPorts, manualPorts, RETENTION } from '../support/state-ports.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';

const MINUTE = 60_000;
const GRANT: GrantRow = { door: 'ssh', source: '10.0.0.1', opened: 1, until: 2, longest: 1, via: 'knock' };

interface OpenedHere {
  readonly state: State;
  readonly ports: ManualPorts;
  readonly folder: TemporaryFolder;
}

function open(kind: 'memory' | 'disk', retention = RETENTION): OpenedHere & Disposable {
  const folder = temporaryFolder();
  const ports = manualPorts();
  const state =
    kind === 'memory'
      ? openMemoryState(openMemorySpent(), ports, retention)
      : openState(folder.path, ports, retention).state;
  return { state, ports, folder, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

for (const kind of ['memory', 'disk'] as const) {
  test(`${kind}: every store works, nothing is wrong, and closing leaves no timer`, () => {
    using opened = open(kind);
    const { state, ports } = opened;
    state.grants.put(GRANT);
    state.closes.put({ door: 'ssh', source: '10.0.0.1', driver: 'pf', due: 3, longest: 2 });
    state.bans.put({ source: '10.0.0.9', until: 9, longest: 8, via: 'points', reason: 'scanner' });
    state.stops.add({ door: 'ssh', source: '10.0.0.1', command: 'true', due: 3, longest: 2 });
    const entry = state.history.append({ type: 'opened', door: 'ssh' });
    assert.deepEqual([state.spent.spend('a'), state.spent.spend('a')], [true, false]);
    ports.clock.advance(10 * MINUTE);
    assert.deepEqual(state.grants.all(), [GRANT]);
    assert.equal(state.closes.all().length + state.bans.all().length + state.stops.all().length, 3);
    assert.deepEqual(state.history.latest({}, 9), [entry]);
    assert.deepEqual([state.problem(), ports.said], [undefined, []]);
    state.close();
    assert.equal(ports.clock.timers, 0);
  });

  test(`${kind}: entries go when their time is over, though nothing happens`, () => {
    using opened = open(kind, { ...RETENTION, age: 60 * MINUTE });
    const { state, ports } = opened;
    for (let count = 0; count < 500; count++) state.history.append({ type: 'opened' });
    ports.clock.advance(50 * MINUTE);
    assert.equal(state.history.latest({}, 1000).length, 500);
    ports.clock.advance(15 * MINUTE);
    assert.equal(state.history.latest({}, 1000).length, 0);
    state.close();
  });
}

test('disk: what was written is brought into the file itself in a quiet moment', () => {
  using opened = open('disk');
  const { state, ports, folder } = opened;
  const size = (): number => statSync(join(folder.path, STATE_FILE)).size;
  const before = size();
  for (let count = 0; count < 1000; count++) state.grants.put({ ...GRANT, source: `10.0.1.${count}` });
  assert.equal(size(), before);
  ports.clock.advance(2 * MINUTE);
  assert.ok(size() > before);
  state.close();
});

test('disk: a program that holds the file locked keeps no door waiting long, and is written after', () => {
  using opened = open('disk');
  const { state, ports, folder } = opened;
  const other = new DatabaseSync(join(folder.path, STATE_FILE));
  other.exec('BEGIN IMMEDIATE');
  state.grants.put(GRANT);
  assert.match(state.problem() ?? '', /locked/);
  assert.throws(() => state.spent.spend('a'), { name: 'SpentError' });
  other.exec('ROLLBACK');
  ports.clock.advance(2 * MINUTE);
  assert.equal(state.problem(), undefined);
  assert.equal(other.prepare('SELECT count(*) AS count FROM grants').get()?.count, 1);
  assert.equal(state.spent.spend('a'), true);
  other.close();
  state.close();
});

test('disk: an entry of the history that is damaged hides no other', () => {
  using opened = open('disk');
  const { state, folder } = opened;
  state.history.append({ type: 'opened', door: 'ssh' });
  const whole = state.history.append({ type: 'opened', door: 'web' });
  state.history.flush();
  const other = new DatabaseSync(join(folder.path, STATE_FILE));
  other.exec("PRAGMA ignore_check_constraints = ON; UPDATE history SET time = 9e999 WHERE door = 'ssh'");
  other.close();
  assert.deepEqual(state.history.latest({}, 9), [whole]);
  state.close();
});
