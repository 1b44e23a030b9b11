/** Opening a state file: who may read it, what becomes of a damaged one, how an old one is brought up to date. */

import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import type { GrantRow } from '../../src/store/rows.ts';
import { openSqliteStops } from '../../src/store/sqlite-stops.ts';
import { openState, STATE_FILE } from '../../src/store/state.ts';
import { manualPorts, RETENTION } from '../support/state-ports.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const GRANT: GrantRow = { door: 'ssh', source: '10.0.0.1', opened: 1, until: 2, longest: 1, via: 'hand' };
const GRANTS = 200;
const EVENTS = 300;

/** A state with something in every table, closed. */
function fill(folder: string): void {
  const { state } = openState(folder, manualPorts(), RETENTION);
  for (let count = 0; count < GRANTS; count++) state.grants.put({ ...GRANT, source: `10.0.1.${count}` });
  state.closes.put({ door: 'ssh', source: '10.0.0.1', driver: 'pf', due: 3, longest: 2 });
  state.stops.add({ door: 'ssh', source: '10.0.0.1', command: 'true', due: 3, longest: 2 });
  for (let count = 0; count < EVENTS; count++) state.history.append({ type: 'opened', door: 'ssh' });
  for (let count = 0; count < 20; count++) state.spent.spend(String(count));
  state.close();
}

function mode(file: string): string {
  return (statSync(file).mode & 0o777).toString(8);
}

test("file and folder are their owner's alone, whatever the mask", () => {
  using folder = temporaryFolder();
  const before = process.umask(0);
  try {
    const own = join(folder.path, 'lib/postern');
    const { state, warnings } = openState(own, manualPorts(), RETENTION);
    state.grants.put(GRANT);
    assert.deepEqual(warnings, []);
    assert.equal(mode(own), '700');
    for (const name of readdirSync(own)) assert.equal(mode(join(own, name)), '600', name);
    assert.ok(readdirSync(own).includes(`${STATE_FILE}-wal`));
    state.close();
  } finally {
    process.umask(before);
  }
});

test('a file that others could read is closed to them', () => {
  using folder = temporaryFolder();
  fill(folder.path);
  chmodSync(join(folder.path, STATE_FILE), 0o644);
  openState(folder.path, manualPorts(), RETENTION).state.close();
  assert.equal(mode(join(folder.path, STATE_FILE)), '600');
});

test('a state that others may write is not believed, and that is said', () => {
  const openings: readonly [string, (folder: string) => void][] = [
    ['the folder', (folder) => chmodSync(folder, 0o777)],
    ['the file', (folder) => chmodSync(join(folder, STATE_FILE), 0o620)],
    ['the WAL', (folder) => writeFileSync(join(folder, `${STATE_FILE}-wal`), '', { mode: 0o666 })],
    ['another owner', (folder) => chownSync(join(folder, STATE_FILE), 12345, 0)],
    ['a link', (folder) => linkAway(join(folder, STATE_FILE))],
  ];
  const umask = process.umask(0);
  try {
    for (const [what, spoil] of openings) {
      using folder = temporaryFolder();
      fill(folder.path);
      spoil(folder.path);
      const { state, warnings, readOnly } = openState(folder.path, manualPorts(), RETENTION);
      assert.match(warnings.join('\n'), /can be written by others: .*chmod go-w|is not a regular file/, what);
      assert.equal(readOnly, true, what);
      assert.deepEqual(state.grants.all(), [], what);
      state.grants.put(GRANT);
      assert.equal(state.grants.all().length, 1, 'grants go on in memory');
      state.close();
    }
  } finally {
    process.umask(umask);
  }
});

test('a folder that only the group of root could write besides is put right, and used', () => {
  for (const [modeBefore, gid, used] of [
    [0o775, 0, true],
    [0o770, 0, true],
    [0o775, 12345, false],
    [0o777, 0, false],
  ] as const) {
    using folder = temporaryFolder();
    fill(folder.path);
    chownSync(folder.path, 0, gid);
    chmodSync(folder.path, modeBefore);
    const { state, warnings, readOnly } = openState(folder.path, manualPorts(), RETENTION);
    state.close();
    assert.equal(readOnly, used ? undefined : true);
    assert.equal(mode(folder.path), (used ? modeBefore & ~0o020 : modeBefore).toString(8));
    if (used)
      assert.deepEqual(warnings, [`${folder.path} could be written by its group, and no longer can (chmod g-w)`]);
  }
});

function linkAway(file: string): void {
  renameSync(file, `${file}.elsewhere`);
  symlinkSync(`${file}.elsewhere`, file);
}

test('what was written is there for the next process', () => {
  using folder = temporaryFolder();
  fill(folder.path);
  const { state, warnings, setAside } = openState(folder.path, manualPorts(), RETENTION);
  assert.deepEqual([warnings, setAside], [[], undefined]);
  assert.equal(state.grants.all().length, GRANTS);
  assert.equal(state.closes.all().length, 1);
  assert.equal(state.stops.all().length, 1);
  assert.equal(state.history.latest({}, 1000).length, EVENTS);
  assert.equal(state.spent.spend('19'), false);
  state.close();
});

test('a file of stops from before there was anything else is brought up to date', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'old.sqlite');
  const old = new DatabaseSync(file);
  old.exec(`PRAGMA journal_mode = WAL; CREATE TABLE stops (
    id INTEGER PRIMARY KEY, door TEXT NOT NULL, source TEXT NOT NULL, command TEXT NOT NULL, due REAL NOT NULL, longest REAL NOT NULL
  ) STRICT; INSERT INTO stops VALUES (7, 'ssh', '10.0.0.1', 'true', 3, 2)`);
  old.close();
  const { store, setAside } = openSqliteStops(file);
  assert.equal(setAside, undefined);
  assert.deepEqual(store.all(), [{ id: 7, door: 'ssh', source: '10.0.0.1', command: 'true', due: 3, longest: 2 }]);
  store.close();
});

test('a file of a later version is neither changed nor set aside; the state is in memory, and nothing is spent', () => {
  using folder = temporaryFolder();
  fill(folder.path);
  const file = join(folder.path, STATE_FILE);
  const later = new DatabaseSync(file);
  later.exec('PRAGMA user_version = 99');
  later.close();
  const before = readFileSync(file);
  const { state, readOnly, setAside, warnings } = openState(folder.path, manualPorts(), RETENTION);
  assert.deepEqual([readOnly, setAside], [true, undefined]);
  assert.match(warnings.join(), /written by a later version \(99/);
  state.grants.put(GRANT);
  assert.deepEqual(state.grants.all(), [GRANT]);
  assert.throws(() => state.spent.spend('new'), /refused/);
  state.close();
  assert.deepEqual(readFileSync(file), before);
});

/** Opens a harmed state: it is all there, or it was set aside, and then nothing is spent; and it works. */
function judge(folder: string, what: string): 'whole' | 'set aside' {
  const { state, setAside, readOnly, warnings } = openState(folder, manualPorts(), RETENTION);
  assert.equal(readOnly, undefined, what);
  if (setAside) {
    assert.ok(statSync(setAside).size >= 0);
    assert.match(warnings[0] ?? '', /was damaged and is begun anew/);
    assert.deepEqual(state.grants.all(), [], what);
    assert.throws(() => state.spent.spend('1'), /forgotten/, what);
    assert.throws(() => state.spent.spend('new'), /forgotten/, what);
  } else {
    assert.equal(state.grants.all().length, GRANTS, what);
    for (let count = 0; count < 20; count++) assert.equal(state.spent.spend(String(count)), false, what);
  }
  state.grants.put(GRANT);
  state.history.append({ type: 'opened' });
  assert.equal(state.history.flush(), true, what);
  state.close();
  const again = openState(folder, manualPorts(), RETENTION);
  assert.equal(again.setAside, undefined, what);
  assert.deepEqual(again.state.grants.get(GRANT), GRANT, what);
  if (setAside) assert.throws(() => again.state.spent.spend('1'), /forgotten/, what);
  again.state.close();
  return setAside ? 'set aside' : 'whole';
}

const HARMS: readonly [string, (bytes: Buffer) => Buffer][] = [
  ['its header is overwritten', (bytes) => bytes.fill(0x5a, 0, 100)],
  ['its magic is overwritten', (bytes) => bytes.fill(0, 0, 16)],
  ['it is another file altogether', () => Buffer.from('<html>not found</html>'.repeat(100))],
  ['it is one page short', (bytes) => bytes.subarray(0, bytes.length - 4096)],
  ['it is half of it', (bytes) => bytes.subarray(0, bytes.length / 2)],
  ['it is a few bytes', (bytes) => bytes.subarray(0, 20)],
  ['its second half is zeros', (bytes) => bytes.fill(0, bytes.length / 2)],
  ['its tables are not ours', () => foreignDatabase()],
];

function foreignDatabase(): Buffer {
  using folder = temporaryFolder();
  const file = join(folder.path, 'foreign.sqlite');
  const database = new DatabaseSync(file);
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE history (what TEXT); CREATE TABLE grants (door TEXT)');
  database.close();
  return readFileSync(file);
}

for (const [what, harm] of HARMS) {
  test(`a state file is set aside when ${what}`, () => {
    using folder = temporaryFolder();
    fill(folder.path);
    const file = join(folder.path, STATE_FILE);
    const harmed = Buffer.from(harm(readFileSync(file)));
    writeFileSync(file, harmed);
    assert.equal(judge(folder.path, what), 'set aside');
    const aside = readdirSync(folder.path).find((name) => name.startsWith(`${STATE_FILE}.damaged-`));
    assert.deepEqual(readFileSync(join(folder.path, aside ?? '')), harmed);
  });
}

test('a state file that is empty is a lost one: begun anew, and nothing is spent', () => {
  using folder = temporaryFolder();
  fill(folder.path);
  truncateSync(join(folder.path, STATE_FILE));
  const { state, warnings } = openState(folder.path, manualPorts(), RETENTION);
  assert.match(warnings.join(), /forgotten/);
  assert.throws(() => state.spent.spend('1'), /forgotten/);
  state.close();
});

test('pages of garbage are found, or hit nothing that counts', () => {
  using folder = temporaryFolder();
  fill(folder.path);
  const file = join(folder.path, STATE_FILE);
  const whole = readFileSync(file);
  const pages = whole.length / 4096;
  let found = 0;
  let run = 0;
  fc.assert(
    fc.property(fc.nat(pages - 1), fc.uint8Array({ minLength: 4096, maxLength: 4096 }), (page, garbage) => {
      run++;
      const own = join(folder.path, String(run));
      mkdirSync(own, { mode: 0o700 });
      const harmed = Buffer.from(whole);
      harmed.set(garbage, page * 4096);
      writeFileSync(join(own, STATE_FILE), harmed);
      writeFileSync(join(own, 'state.mark'), readFileSync(join(folder.path, 'state.mark')));
      if (judge(own, `page ${page}`) === 'set aside') found++;
    }),
    { numRuns: 100 },
  );
  assert.ok(found > run / 2, `${found} of ${run} were found`);
});

test('a few bytes of garbage anywhere make no spent entry good again', () => {
  using folder = temporaryFolder();
  fill(folder.path);
  const whole = readFileSync(join(folder.path, STATE_FILE));
  const mark = readFileSync(join(folder.path, 'state.mark'));
  let run = 0;
  fc.assert(
    fc.property(
      fc.nat(whole.length - 1),
      fc.uint8Array({ minLength: 1, maxLength: 64 }),
      fc.boolean(),
      (offset, garbage, inSpent) => {
        run++;
        const own = join(folder.path, String(run));
        mkdirSync(own, { mode: 0o700 });
        const harmed = Buffer.from(whole);
        // Half of them where the spent entries are.
        const at = inSpent ? spentOffset(whole) + (offset % 1200) : offset;
        harmed.set(garbage.subarray(0, whole.length - at), at);
        writeFileSync(join(own, STATE_FILE), harmed);
        writeFileSync(join(own, 'state.mark'), mark);
        const { state } = openState(own, manualPorts(), RETENTION);
        for (let count = 0; count < 20; count++) {
          let spent = false;
          try {
            spent = state.spent.spend(String(count));
          } catch {
            // Denied.
          }
          assert.equal(spent, false, `${count} at ${at}`);
        }
        state.close();
      },
    ),
    { numRuns: 200 },
  );
});

/** Where in the file the cells of the spent entries are: at the end of their page. */
function spentOffset(bytes: Buffer): number {
  using folder = temporaryFolder();
  const file = join(folder.path, 'copy.sqlite');
  writeFileSync(file, bytes);
  const database = new DatabaseSync(file);
  const page = Number(database.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'spent'").get()?.rootpage);
  database.close();
  return page * 4096 - 1200;
}
