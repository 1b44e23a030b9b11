/** One-time entries: good once. One contract in memory and on disk; then what only the disk can lose. */

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { DamagedState } from '../../src/store/columns.ts';
import { openDatabase } from '../../src/store/database.ts';
import { openMemorySpent } from '../../src/store/memory-spent.ts';
import { SpentError, type SpentStore } from '../../src/store/spent-store.ts';
import { openSqliteSpent } from '../../src/store/sqlite-spent.ts';
import { MARK_FILE, openState, STATE_FILE } from '../../src/store/state.ts';
import { manualPorts, RETENTION } from '../support/state-ports.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

function open(kind: 'memory' | 'sqlite'): { readonly spent: SpentStore } & Disposable {
  if (kind === 'memory') return { spent: openMemorySpent(), [Symbol.dispose]: () => {} };
  const folder = temporaryFolder();
  const { value: database } = openDatabase(join(folder.path, 'spent.sqlite'), 0, (opened) => opened);
  return {
    spent: openSqliteSpent(database, () => 0),
    [Symbol.dispose]: () => {
      database.close();
      folder[Symbol.dispose]();
    },
  };
}

for (const kind of ['memory', 'sqlite'] as const) {
  test(`${kind}: an entry is spent exactly once, and no other with it`, () => {
    using opened = open(kind);
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ unit: 'grapheme' }), { maxLength: 8 }), fc.uuid(), (entries, run) => {
        for (const entry of entries) assert.equal(opened.spent.spend(`${run} ${entry}`), true);
        for (const entry of entries) assert.equal(opened.spent.spend(`${run} ${entry}`), false);
      }),
      { numRuns: 20 },
    );
  });
}

/** Opens the state, spends, closes; whether it worked, or the refusal. */
function spendOnce(folder: string, entry: string): boolean | string {
  const { state } = openState(folder, manualPorts(), RETENTION);
  try {
    return state.spent.spend(entry);
  } catch (error) {
    assert.ok(error instanceof SpentError);
    assert.equal(state.spent.refusal, error.message);
    return error.message;
  } finally {
    state.close();
  }
}

test('an entry stays spent for the next process', () => {
  using folder = temporaryFolder();
  assert.equal(spendOnce(folder.path, 'a'), true);
  assert.equal(spendOnce(folder.path, 'a'), false);
  assert.equal(spendOnce(folder.path, 'b'), true);
});

test('the file does not hold the entry itself', () => {
  using folder = temporaryFolder();
  spendOnce(folder.path, 'seven thousand eight thousand');
  assert.ok(!readFileSync(join(folder.path, STATE_FILE)).includes('thousand'));
});

test('a state file that was deleted leaves all entries refused, at every start', () => {
  using folder = temporaryFolder();
  spendOnce(folder.path, 'a');
  rmSync(join(folder.path, STATE_FILE));
  for (const entry of ['a', 'b']) assert.match(String(spendOnce(folder.path, entry)), /forgotten: see .*state\.mark$/);
});

test('removing the mark accepts the loss; removing the whole folder begins anew', () => {
  using folder = temporaryFolder();
  spendOnce(folder.path, 'a');
  rmSync(join(folder.path, STATE_FILE));
  spendOnce(folder.path, 'a');
  rmSync(join(folder.path, MARK_FILE));
  assert.equal(spendOnce(folder.path, 'a'), true);
  assert.equal(spendOnce(folder.path, 'a'), false);
  rmSync(folder.path, { recursive: true });
  assert.equal(spendOnce(folder.path, 'a'), true);
});

test('an older copy of the state is a lost one', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, STATE_FILE);
  spendOnce(folder.path, 'a');
  const copy = readFileSync(file);
  assert.equal(spendOnce(folder.path, 'b'), true);
  writeFileSync(file, copy);
  assert.match(String(spendOnce(folder.path, 'b')), /forgotten/);
});

test('a crash before the mark knows of the last entry costs that entry and nothing else', () => {
  using folder = temporaryFolder();
  const mark = join(folder.path, MARK_FILE);
  spendOnce(folder.path, 'a');
  const before = readFileSync(mark);
  spendOnce(folder.path, 'b');
  writeFileSync(mark, before);
  assert.equal(spendOnce(folder.path, 'b'), false);
  assert.equal(spendOnce(folder.path, 'c'), true);
});

test('a mark that is damaged is no mark of ours', () => {
  using folder = temporaryFolder();
  spendOnce(folder.path, 'a');
  for (const text of ['', 'garbage', readFileSync(join(folder.path, MARK_FILE), 'latin1').slice(1)]) {
    writeFileSync(join(folder.path, MARK_FILE), text);
    assert.match(String(spendOnce(folder.path, 'b')), /forgotten/);
  }
});

test('an entry that was changed or removed behind our back is damage', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, STATE_FILE);
  const harms = [
    'DELETE FROM spent',
    'UPDATE spent SET digest = randomblob(32)',
    'INSERT INTO spent VALUES (randomblob(32), 0)',
  ];
  for (const harm of harms) {
    rmSync(folder.path, { recursive: true });
    spendOnce(folder.path, 'a');
    const database = new DatabaseSync(file);
    database.exec(harm);
    assert.throws(() => openSqliteSpent(database, () => 0), DamagedState, harm);
    database.close();
    assert.match(String(spendOnce(folder.path, 'a')), /forgotten/, harm);
  }
});
