/** One contract for everything that keeps rows: in memory, on disk, and both together. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { openDatabase } from '../../src/store/database.ts';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { mirrorRows } from '../../src/store/mirrored-rows.ts';
import {
  BANS,
  CLOSES,
  type CloseRow,
  type DoorKey,
  GRANTS,
  type GrantRow,
  type RowShape,
  type Rows,
  type SourceRow,
} from '../../src/store/rows.ts';
import { openSqliteRows } from '../../src/store/sqlite-rows.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const KINDS = ['memory', 'sqlite', 'mirrored'] as const;
type Kind = (typeof KINDS)[number];

interface OpenedRows<Row extends Key, Key> extends Disposable {
  readonly rows: Rows<Row, Key>;
}

function open<Row extends Key, Key>(kind: Kind, shape: RowShape<Row, Key>): OpenedRows<Row, Key> {
  const memory = openMemoryRows(shape);
  if (kind === 'memory') return { rows: memory, [Symbol.dispose]: () => {} };
  const folder = temporaryFolder();
  const { value: database } = openDatabase(join(folder.path, 'rows.sqlite'), 0, (opened) => opened);
  const disk = openSqliteRows(database, shape);
  const failed = (error: unknown): void => {
    throw error;
  };
  return {
    rows: kind === 'sqlite' ? disk : mirrorRows(memory, disk, { failed, caughtUp: () => {} }),
    [Symbol.dispose]: () => {
      database.close();
      folder[Symbol.dispose]();
    },
  };
}

const ssh: GrantRow = { door: 'ssh', source: '10.0.0.1', opened: 1, until: 31, longest: 30, via: 'knock' };
const web: GrantRow = {
  door: 'web',
  source: '2001:db8::1',
  opened: 2,
  until: 2.5,
  longest: 0.5,
  via: 'hand',
  user: 'ada',
};

for (const kind of KINDS) {
  test(`${kind}: what was put is there, with every column`, () => {
    using opened = open(kind, GRANTS);
    opened.rows.put(web);
    opened.rows.put(ssh);
    assert.deepEqual(opened.rows.all(), [ssh, web]);
    assert.deepEqual(opened.rows.get({ door: 'web', source: '2001:db8::1' }), web);
    assert.equal(opened.rows.get({ door: 'web', source: '10.0.0.1' }), undefined);
  });

  test(`${kind}: the same key again replaces the row, and forgets what the new one does not say`, () => {
    using opened = open(kind, GRANTS);
    opened.rows.put({ ...ssh, user: 'ada' });
    opened.rows.put({ ...ssh, until: 61, longest: 60 });
    assert.deepEqual(opened.rows.all(), [{ ...ssh, until: 61, longest: 60 }]);
  });

  test(`${kind}: ending says whether there was one, and ends no other`, () => {
    using opened = open(kind, GRANTS);
    opened.rows.put(ssh);
    opened.rows.put(web);
    assert.equal(opened.rows.end(ssh), true);
    assert.equal(opened.rows.end(ssh), false);
    assert.deepEqual(opened.rows.all(), [web]);
  });

  test(`${kind}: replacing leaves these rows alone`, () => {
    using opened = open(kind, GRANTS);
    opened.rows.put(ssh);
    opened.rows.replace([web]);
    assert.deepEqual(opened.rows.all(), [web]);
    opened.rows.replace([]);
    assert.deepEqual(opened.rows.all(), []);
  });

  test(`${kind}: closes and bans keep all that they are made of`, () => {
    using closes = open(kind, CLOSES);
    const close: CloseRow = { door: 'ssh', source: '10.0.0.1', driver: 'pf', due: 5, longest: 4 };
    closes.rows.put(close);
    assert.deepEqual(closes.rows.all(), [close]);
    using bans = open(kind, BANS);
    const ban: SourceRow = { source: '10.0.0.9', until: 9, longest: 8, via: 'points', reason: 'scanner' };
    bans.rows.put(ban);
    assert.deepEqual(bans.rows.get({ source: '10.0.0.9' }), ban);
  });
}

/** Few keys, so that they meet. */
const key = fc.record({
  door: fc.constantFrom('a', 'b', "b'; --"),
  source: fc.constantFrom('10.0.0.1', '10.0.0.2', '::1'),
});
const grant = fc
  .tuple(key, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.option(fc.string({ unit: 'grapheme' })))
  .map(([{ door, source }, until, user]): GrantRow => {
    // SQLite has one zero.
    const row: GrantRow = { door, source, opened: 0, until: until + 0, longest: 1, via: 'hand' };
    return user === null ? row : { ...row, user };
  });
const step = fc.oneof(
  grant.map((row) => ({ put: row })),
  key.map((end: DoorKey) => ({ end })),
  fc.uniqueArray(grant, { selector: ({ door, source }) => `${door} ${source}` }).map((replace) => ({ replace })),
);

for (const kind of ['sqlite', 'mirrored'] as const) {
  test(`${kind}: any sequence of steps leads where it leads in memory`, () => {
    using opened = open(kind, GRANTS);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        opened.rows.replace([]);
        const model = openMemoryRows(GRANTS);
        for (const act of steps) {
          if ('end' in act) assert.equal(opened.rows.end(act.end), model.end(act.end));
          for (const rows of [opened.rows, model]) {
            if ('put' in act) rows.put(act.put);
            if ('replace' in act) rows.replace(act.replace);
          }
        }
        assert.deepEqual(opened.rows.all(), model.all());
      }),
      { numRuns: 100 },
    );
  });
}

test('mirrored: rows stay in memory while the disk fails, and are on it when it works again', () => {
  const memory = openMemoryRows(GRANTS);
  const disk = openMemoryRows(GRANTS);
  let broken = true;
  const said: string[] = [];
  const failing: Rows<GrantRow, DoorKey> = {
    ...disk,
    put: (row) => (broken ? fail() : disk.put(row)),
    end: (row) => (broken ? fail() : disk.end(row)),
    replace: (rows) => (broken ? fail() : disk.replace(rows)),
  };
  const rows = mirrorRows(memory, failing, {
    failed: () => said.push('failed'),
    caughtUp: () => said.push('caught up'),
  });
  rows.put(ssh);
  rows.put(web);
  assert.equal(rows.end(ssh), true);
  rows.retry();
  assert.deepEqual([rows.all(), disk.all()], [[web], []]);
  broken = false;
  rows.retry();
  assert.deepEqual(disk.all(), [web]);
  rows.put(ssh);
  assert.deepEqual(disk.all(), [ssh, web]);
  rows.retry();
  assert.deepEqual(said, ['failed', 'failed', 'failed', 'failed', 'caught up']);
});

function fail(): never {
  throw new Error('database or disk is full');
}
