/** One contract for history, in memory and on disk: what is asked for, and what has to go. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HistoryEntry, type HistoryType, STRANGERS } from '../../src/core/history.ts';
import { openDatabase } from '../../src/store/database.ts';
import type { HistoryQuery, HistoryStore } from '../../src/store/history-store.ts';
import { openMemoryHistory } from '../../src/store/memory-history.ts';
import { openSqliteHistory } from '../../src/store/sqlite-history.ts';
import { entry, RETENTION } from '../support/state-ports.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

function open(kind: 'memory' | 'sqlite'): { readonly store: HistoryStore } & Disposable {
  if (kind === 'memory') return { store: openMemoryHistory(), [Symbol.dispose]: () => {} };
  const folder = temporaryFolder();
  const { value: database } = openDatabase(join(folder.path, 'history.sqlite'), 0, (opened) => opened);
  return {
    store: openSqliteHistory(database),
    [Symbol.dispose]: () => {
      database.close();
      folder[Symbol.dispose]();
    },
  };
}

const ids = (entries: readonly HistoryEntry[]): number[] => entries.map(({ id }) => id / 1000);
const FIVE: readonly HistoryEntry[] = [
  entry(1, { type: 'started' }),
  entry(2, { type: 'failed', door: 'ssh', source: '10.0.0.9', reason: 'strays' }),
  entry(3, { type: 'opened', door: 'ssh', source: '10.0.0.1', via: 'knock' }),
  entry(4, {
    type: 'opened',
    door: 'web',
    source: '10.0.0.1',
    via: 'hand',
    user: 'ada',
    detail: 'for\0the\nbackup 💾',
  }),
  entry(5, { type: 'closed', door: 'ssh', source: '10.0.0.1', reason: 'by hand' }),
];

for (const kind of ['memory', 'sqlite'] as const) {
  test(`${kind}: entries come back as they were, the newest first`, () => {
    using opened = open(kind);
    assert.equal(opened.store.last(), 0);
    opened.store.write(FIVE);
    assert.deepEqual(opened.store.latest({}, 10), FIVE.toReversed());
    assert.equal(opened.store.last(), 5000);
  });

  test(`${kind}: by door, source, user, type, reason, time, and all together`, () => {
    using opened = open(kind);
    opened.store.write(FIVE);
    const found = (query: HistoryQuery): number[] => ids(opened.store.latest(query, 10));
    assert.deepEqual(found({ door: 'ssh' }), [5, 3, 2]);
    assert.deepEqual(found({ sources: ['10.0.0.1'] }), [5, 4, 3]);
    assert.deepEqual(found({ sources: ['10.0.0.1', '10.0.0.9'] }), [5, 4, 3, 2]);
    assert.deepEqual(found({ sources: [] }), []);
    assert.deepEqual(found({ user: 'ada' }), [4]);
    assert.deepEqual(found({ types: ['opened'] }), [4, 3]);
    assert.deepEqual(found({ types: ['failed'] }), [2]);
    assert.deepEqual(found({ types: ['failed', 'closed'] }), [5, 2]);
    assert.deepEqual(found({ types: [] }), []);
    assert.deepEqual(found({ reason: 'strays' }), [2]);
    assert.deepEqual(found({ since: 4 }), [5, 4]);
    assert.deepEqual(found({ door: 'ssh', sources: ['10.0.0.1'], types: ['opened'], since: 1 }), [3]);
  });

  test(`${kind}: page by page, and following from a number`, () => {
    using opened = open(kind);
    opened.store.write(FIVE);
    assert.deepEqual(ids(opened.store.latest({}, 2)), [5, 4]);
    assert.deepEqual(ids(opened.store.latest({}, 2, 4000)), [3, 2]);
    assert.deepEqual(ids(opened.store.following(2000, {}, 2)), [3, 4]);
    assert.deepEqual(ids(opened.store.following(2000, { door: 'ssh' }, 9)), [3, 5]);
    assert.deepEqual(opened.store.following(5000, {}, 9), []);
  });

  test(`${kind}: what is too old goes, the oldest first, a few at a time`, () => {
    using opened = open(kind);
    opened.store.write(FIVE);
    const retention = { ...RETENTION, age: 100 };
    assert.equal(opened.store.trim(retention, 101, 10), false);
    assert.equal(ids(opened.store.latest({}, 10)).length, 5);
    assert.equal(opened.store.trim(retention, 104, 1), true);
    while (opened.store.trim(retention, 104, 1));
    assert.deepEqual(ids(opened.store.latest({}, 10)), [5, 4]);
  });

  test(`${kind}: a flood of strangers takes no more than its half`, () => {
    using opened = open(kind);
    const flood = Array.from({ length: 200 }, (_, index) => entry(100 + index, { type: 'failed' }));
    opened.store.write(FIVE);
    opened.store.write(flood);
    while (opened.store.trim({ ...RETENTION, entries: 20 }, 1000, 7));
    const left = opened.store.latest({}, 100);
    assert.deepEqual(ids(left.filter(({ type }) => type !== 'failed')), [5, 4, 3, 1]);
    assert.deepEqual(ids(left.filter(({ type }) => type === 'failed')), ids(flood.slice(-10).toReversed()));
  });

  test(`${kind}: nothing goes that has a place`, () => {
    using opened = open(kind);
    opened.store.write(FIVE);
    assert.equal(opened.store.trim({ age: 1000, entries: 10, bytes: 1 << 30 }, 5, 10), false);
    assert.equal(opened.store.latest({}, 10).length, 5);
  });
}

test('sqlite: a file that is too large gives up entries until it fits, and its pages to the disk', () => {
  using opened = open('sqlite');
  const detail = 'x'.repeat(4000);
  opened.store.write(Array.from({ length: 500 }, (_, index) => entry(index + 1, { type: 'failed', detail })));
  opened.store.write(Array.from({ length: 100 }, (_, index) => entry(index + 501, { detail })));
  const retention = { ...RETENTION, bytes: 1 << 20 };
  while (opened.store.trim(retention, 0, 16));
  const left = opened.store.latest({}, 1000);
  assert.ok(left.length > 100 && left.length < 270, `${left.length} are left`);
  assert.deepEqual(ids(left)[0], 600);
  assert.ok(left.some(({ type }) => type === 'failed') && left.some(({ type }) => type === 'opened'));
});

test('sqlite: a search for who was let in does not walk through what a flood has left', () => {
  using folder = temporaryFolder();
  const { value: database } = openDatabase(join(folder.path, 'history.sqlite'), 0, (opened) => opened);
  const plan = (where: string): string =>
    database
      .prepare(`EXPLAIN QUERY PLAN SELECT id FROM history WHERE ${where} ORDER BY id DESC LIMIT 5`)
      .all()
      .map(({ detail }) => detail)
      .join('; ');
  assert.match(plan("type IN ('opened') AND stranger = 0"), /INDEX history_by_stranger/);
  assert.match(plan("door = 'a'"), /INDEX history_by_door/);
  assert.match(plan("source = 'a'"), /INDEX history_by_source/);
  assert.match(plan('id >= 5 AND time >= 5'), /PRIMARY KEY/);
  database.close();
});

const types: readonly HistoryType[] = ['opened', 'closed', 'failed', 'denied', 'warned'];
const event = fc.record(
  {
    type: fc.constantFrom(...types),
    door: fc.constantFrom('a', 'b'),
    source: fc.constantFrom('10.0.0.1', '::1'),
    reason: fc.constantFrom('x', 'y'),
  },
  { requiredKeys: ['type'] },
);
const query = fc.record(
  {
    door: fc.constantFrom('a', 'b'),
    source: fc.constantFrom('10.0.0.1', '::1'),
    reason: fc.constantFrom('x', 'y'),
    types: fc.subarray([...types]),
    since: fc.nat(40),
  },
  { requiredKeys: [] },
);

test('sqlite finds and keeps what memory finds and keeps', () => {
  using folder = temporaryFolder();
  let run = 0;
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 30 }),
      query,
      fc.record({ age: fc.nat(40), entries: fc.nat(20) }),
      fc.nat(40_000),
      fc.integer({ min: 1, max: 10 }),
      (events, asked, { age, entries }, from, limit) => {
        run++;
        const file = join(folder.path, `${run}.sqlite`);
        const { value: database } = openDatabase(file, 0, (opened) => opened);
        const sqlite = openSqliteHistory(database);
        const memory = openMemoryHistory();
        const all = events.map((each, index) => entry(index + 1, each));
        for (const store of [sqlite, memory]) {
          store.write(all);
          while (store.trim({ ...RETENTION, age, entries }, 40, 3));
        }
        assert.deepEqual(sqlite.latest({}, 100), memory.latest({}, 100));
        assert.deepEqual(sqlite.latest(asked, limit, from), memory.latest(asked, limit, from));
        assert.deepEqual(sqlite.following(from, asked, limit), memory.following(from, asked, limit));
        for (const stranger of [true, false]) {
          const kept = sqlite.latest({}, 100).filter(({ type }) => STRANGERS.has(type) === stranger);
          assert.ok(kept.length <= entries / 2);
        }
        database.close();
      },
    ),
    { numRuns: 60 },
  );
});
