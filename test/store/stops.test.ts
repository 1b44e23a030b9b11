/** One contract for pending stops, in memory and on disk. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openMemoryStops } from '../../src/store/memory-stops.ts';
import { openSqliteStops } from '../../src/store/sqlite-stops.ts';
import type { StopStore } from '../../src/store/stop-store.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

function open(kind: 'memory' | 'sqlite'): { readonly store: StopStore } & Disposable {
  if (kind === 'memory') return { store: openMemoryStops(), [Symbol.dispose]: () => {} };
  const folder = temporaryFolder();
  const { store } = openSqliteStops(join(folder.path, 'stops.sqlite'));
  return {
    store,
    [Symbol.dispose]: () => {
      store.close();
      folder[Symbol.dispose]();
    },
  };
}

const late = { door: 'ssh', source: '10.0.0.1', command: 'iptables -D … "\'%', due: 20, longest: 10 };
const early = { door: 'ssh#2', source: '::1', command: 'x', due: 10.5, longest: 3 };

for (const kind of ['memory', 'sqlite'] as const) {
  test(`${kind}: all stops, the earliest due first`, () => {
    using opened = open(kind);
    const ids = [opened.store.add(late), opened.store.add(early)];
    assert.deepEqual(opened.store.all(), [
      { ...early, id: ids[1] },
      { ...late, id: ids[0] },
    ]);
  });

  test(`${kind}: a stop that is postponed has a new time and a new bound`, () => {
    using opened = open(kind);
    const id = opened.store.add(late);
    assert.equal(opened.store.postpone(id, 100, 90), true);
    assert.deepEqual(opened.store.all(), [{ ...late, id, due: 100, longest: 90 }]);
  });

  test(`${kind}: what was removed is gone, and cannot be postponed`, () => {
    using opened = open(kind);
    const id = opened.store.add(late);
    opened.store.remove(id);
    opened.store.remove(id);
    assert.equal(opened.store.postpone(id, 100, 90), false);
    assert.deepEqual(opened.store.all(), []);
  });
}

test('sqlite: the next process finds the stops', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'deep/er/stops.sqlite');
  const first = openSqliteStops(file).store;
  const id = first.add(late);
  first.close();
  const second = openSqliteStops(file).store;
  assert.deepEqual(second.all(), [{ ...late, id }]);
  second.close();
});
