/** The queue in front of the history: cheap, bounded, and never in a door's way. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryEntry } from '../../src/core/history.ts';
import { BATCH, DELAY, History, QUEUE, STRANGERS_SHARE } from '../../src/store/history.ts';
import type { HistoryStore } from '../../src/store/history-store.ts';
import { openMemoryHistory } from '../../src/store/memory-history.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { entry, RETENTION } from '../support/state-ports.ts';

interface Bench {
  readonly clock: ManualClock;
  readonly history: History;
  readonly store: HistoryStore;
  readonly batches: number[];
  readonly said: string[];
  broken: boolean;
}

function start(initial: readonly HistoryEntry[] = []): Bench {
  const clock = new ManualClock();
  const memory = openMemoryHistory(initial);
  const said: string[] = [];
  const batches: number[] = [];
  const store: HistoryStore = {
    ...memory,
    write: (batch) => {
      if (bench.broken) throw new Error('database or disk is full');
      batches.push(batch.length);
      memory.write(batch);
    },
  };
  const ports = {
    wallNow: clock.wallNow,
    after: clock.after,
    failed: () => void said.push('failed'),
    caughtUp: () => void said.push('caught up'),
  };
  const bench: Bench = { clock, store, batches, said, broken: false, history: new History(store, ports, RETENTION) };
  return bench;
}

const MINUTE = 60_000;

test('an entry is written by the timer, not by who appends', () => {
  const { clock, history, store } = start();
  const appended = history.append({ type: 'opened', door: 'ssh' });
  assert.deepEqual(store.latest({}, 9), []);
  clock.advance(DELAY);
  assert.deepEqual(store.latest({}, 9), [appended]);
  assert.equal(clock.timers, 0);
});

test('numbers grow with every entry, over a restart and over a clock that was set back', () => {
  const first = start();
  const early = first.history.append({ type: 'opened' });
  assert.equal(early.id, early.time * 1000);
  first.clock.wall -= 1e9;
  const later = first.history.append({ type: 'opened' });
  assert.equal(later.id, early.id + 1);
  first.history.flush();
  const second = start(first.store.latest({}, 9).toReversed());
  second.clock.wall = 0;
  assert.equal(second.history.append({ type: 'started' }).id, later.id + 1);
});

test('who asks sees what is still queued, in its place', () => {
  const { history, store } = start([entry(1), entry(2, { type: 'failed' })]);
  const [opened, failed] = [history.append({ type: 'opened' }), history.append({ type: 'failed' })];
  assert.equal(store.last(), 2000);
  assert.deepEqual(history.latest({}, 9), [failed, opened, entry(2, { type: 'failed' }), entry(1)]);
  assert.deepEqual(history.latest({ types: ['opened'] }, 9), [opened, entry(1)]);
  assert.deepEqual(history.latest({}, 1), [failed]);
  assert.deepEqual(history.latest({}, 2, opened.id), [entry(2, { type: 'failed' }), entry(1)]);
  assert.deepEqual(history.following(1000, {}, 9), [entry(2, { type: 'failed' }), opened, failed]);
  assert.deepEqual(history.following(1000, {}, 2), [entry(2, { type: 'failed' }), opened]);
  assert.deepEqual(history.following(opened.id, {}, 9), [failed]);
});

test('much is written in batches with a pause between them, and flush() writes all at once', () => {
  const { clock, history, batches } = start();
  for (let count = 0; count < 3 * BATCH; count++) history.append({ type: 'opened' });
  clock.advance(DELAY);
  assert.deepEqual(batches, [BATCH]);
  clock.advance(MINUTE);
  assert.deepEqual(batches, [BATCH, BATCH, BATCH]);
  for (let count = 0; count < BATCH + 1; count++) history.append({ type: 'opened' });
  assert.equal(history.flush(), true);
  assert.deepEqual(batches.slice(3), [BATCH, 1]);
  assert.equal(clock.timers, 0);
});

test('strangers leave room in the queue for what we did, and what was left out is counted', () => {
  const { clock, history } = start();
  for (let count = 0; count < STRANGERS_SHARE + 25; count++) history.append({ type: 'failed', source: '10.0.0.9' });
  const opened = history.append({ type: 'opened' });
  clock.advance(10 * MINUTE);
  assert.equal(history.latest({ types: ['failed'] }, QUEUE).length, STRANGERS_SHARE);
  assert.deepEqual(history.latest({ types: ['opened'] }, 9), [opened]);
  assert.deepEqual(
    history.latest({ types: ['omitted'] }, 9).map(({ detail }) => detail),
    ['25'],
  );
});

test('while the disk fails the newest entries stay, and are written when it works again', () => {
  const bench = start();
  const { clock, history, store, said } = bench;
  bench.broken = true;
  for (let count = 0; count < QUEUE + 10; count++) history.append({ type: 'opened', detail: String(count) });
  clock.advance(MINUTE);
  assert.equal(history.flush(), false);
  assert.deepEqual(new Set(said), new Set(['failed']));
  assert.deepEqual(store.latest({}, 9), []);
  assert.equal(history.latest({}, 2 * QUEUE).length, QUEUE);
  bench.broken = false;
  clock.advance(MINUTE);
  const [omitted, newest] = store.latest({}, 2);
  assert.deepEqual([omitted?.type, omitted?.detail], ['omitted', '10']);
  assert.equal(newest?.detail, String(QUEUE + 9));
  assert.equal(said.filter((text) => text === 'caught up').length, 1);
});

test('a hook that writes without end fills no history', () => {
  const { history } = start();
  history.append({ type: 'hooked', detail: 'x'.repeat(1e6) });
  assert.equal(history.latest({}, 1)[0]?.detail?.length, 4096);
});

test('retention holds from one batch to the next, and can be changed', () => {
  const { clock, history } = start();
  history.retain({ ...RETENTION, entries: 20 });
  for (let count = 0; count < 500; count++) history.append({ type: 'failed' });
  clock.advance(MINUTE);
  assert.equal(history.latest({}, 1000).length, 10);
});
