/** What the store has acknowledged outlives the process, however it ends; what is damaged is put aside, not trusted and not fatal. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSqliteStops } from '../../src/store/sqlite-stops.ts';
import { Running } from '../support/running.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const WRITER = join(import.meta.dirname, '../support/stop-writer.ts');
const KILLS = 12;

function apply(state: Map<number, number>, line: string): void {
  const [what, id = 0, due = 0] = line.split(' ').map((word, at) => (at === 0 ? word : Number(word))) as [
    string,
    number?,
    number?,
  ];
  if (what === 'remove') state.delete(id);
  else state.set(id, due);
}

test('Nothing that was acknowledged is lost when the writer is killed, again and again', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'stops.sqlite');
  let known = new Map<number, number>();
  let changes = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const writer = new Running([process.execPath, WRITER, file]);
    await writer.waitForLine(/^add /);
    await sleep(kill * 3);
    const { stdout } = await writer.stop('SIGKILL');
    const lines = stdout.split('\n').slice(0, -1);
    for (const line of lines) apply(known, line);
    changes += lines.length;
    const { store, setAside } = openSqliteStops(file);
    assert.equal(setAside, undefined);
    const found = new Map(store.all().map((stop) => [stop.id, stop.due]));
    store.close();
    // At most the one change that was under way came on top: a stop more, a stop less, or a stop elsewhere.
    const different = [...new Set([...known.keys(), ...found.keys()])].filter((id) => known.get(id) !== found.get(id));
    assert.ok(different.length <= 1, `${different.length} stops differ after ${changes} changes`);
    known = found;
  }
  assert.ok(changes > KILLS, `${changes}`);
});

for (const [what, damage] of [
  [
    'no database at all',
    (file: string) => writeFileSync(file, 'not a database, but long enough to look like one'.repeat(50)),
  ],
  ['cut off', (file: string) => truncateSync(file, 100)],
  [
    'overwritten in the middle',
    (file: string) => writeFileSync(file, new Uint8Array(readFileSync(file)).fill(0x5a, 200)),
  ],
] as const) {
  test(`A file that is ${what} is put aside, and a new one begun`, () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'stops.sqlite');
    const { store } = openSqliteStops(file);
    for (let count = 0; count < 500; count += 1) {
      store.add({ door: 'A', source: '10.0.0.1', command: 'close'.repeat(20), due: count, longest: 1 });
    }
    store.close();
    damage(file);
    const again = openSqliteStops(file);
    assert.ok(again.setAside);
    assert.ok(again.setAside.startsWith(`${file}.`), again.setAside);
    assert.deepEqual(again.store.all(), []);
    again.store.add({ door: 'A', source: '10.0.0.1', command: 'close', due: 1, longest: 1 });
    again.store.close();
    assert.ok(readdirSync(folder.path).includes(again.setAside.slice(folder.path.length + 1)));
    const last = openSqliteStops(file);
    assert.equal(last.setAside, undefined);
    assert.equal(last.store.all().length, 1);
    last.store.close();
  });
}

test('An empty file is a new one', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'stops.sqlite');
  writeFileSync(file, '');
  const { store, setAside } = openSqliteStops(file);
  assert.equal(setAside, undefined);
  assert.deepEqual(store.all(), []);
  store.close();
});

test('A folder that cannot be written throws', () => {
  assert.throws(() => openSqliteStops('/dev/null/stops.sqlite'));
});
