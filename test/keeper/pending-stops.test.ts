import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PendingStops } from '../../src/keeper/pending-stops.ts';
import { openMemoryStops } from '../../src/store/memory-stops.ts';
import type { PendingStop, StopStore } from '../../src/store/stop-store.ts';
import { ManualClock } from '../support/manual-clock.ts';

function stage(store: StopStore = openMemoryStops(), clock = new ManualClock(), boot?: string) {
  const ran: { readonly command: string; readonly at: number; readonly ended: () => void }[] = [];
  const failures: unknown[] = [];
  let scheduled = 0;
  const begin = clock.wall;
  const stops = new PendingStops(store, {
    wallNow: clock.wallNow,
    after: clock.after,
    boot,
    run: (stop: PendingStop, ended) => ran.push({ command: stop.command, at: clock.wall - begin, ended }),
    storeFailed: (error) => failures.push(error),
    scheduled: () => {
      scheduled += 1;
    },
  });
  return { store, clock, stops, ran, failures, scheduled: () => scheduled };
}

const told = (ran: readonly { readonly command: string; readonly at: number }[]): string[] =>
  ran.map(({ command, at }) => `${command} ${at}`);

test('A stop is on record before its time, runs at its time, and leaves the record when its command has ended', () => {
  const { store, clock, stops, ran, scheduled } = stage();
  stops.schedule('A', '10.0.0.1', 'close', 5000);
  assert.equal(scheduled(), 1);
  assert.deepEqual(
    store
      .all()
      .map(({ door, source, command, due, longest }) => ({ door, source, command, due: due - clock.wall, longest })),
    [{ door: 'A', source: '10.0.0.1', command: 'close', due: 5000, longest: 5000 }],
  );
  assert.equal(stops.has('A', '10.0.0.1', 'close'), true);
  clock.advance(4999);
  assert.equal(ran.length, 0);
  clock.advance(1);
  assert.deepEqual(told(ran), ['close 5000']);
  assert.equal(stops.has('A', '10.0.0.1', 'close'), false);
  assert.equal(store.all().length, 1, 'a stop that runs is still on record');
  ran[0]!.ended();
  assert.equal(store.all().length, 0);
});

test('A stop that is scheduled again moves: one record, one run, later', () => {
  const { store, clock, stops, ran } = stage();
  stops.schedule('A', '10.0.0.1', 'close', 5000);
  clock.advance(3000);
  stops.schedule('A', '10.0.0.1', 'close', 5000);
  assert.equal(store.all().length, 1);
  clock.advance(60_000);
  assert.deepEqual(told(ran), ['close 8000']);
});

test('Sources, doors and commands have stops of their own', () => {
  const { store, clock, stops, ran } = stage();
  stops.schedule('A', '10.0.0.1', 'one', 3000);
  stops.schedule('A', '10.0.0.2', 'two', 2000);
  stops.schedule('B', '10.0.0.1', 'three', 1000);
  stops.schedule('A', '10.0.0.1', 'four', 4000);
  assert.equal(store.all().length, 4);
  clock.advance(10_000);
  assert.deepEqual(told(ran), ['three 1000', 'two 2000', 'one 3000', 'four 4000']);
});

test('A new process runs what is overdue at once, and the rest when it is due', () => {
  const { store, clock, stops } = stage();
  stops.schedule('A', '10.0.0.1', 'soon', 1000);
  stops.schedule('A', '10.0.0.2', 'late', 20_000);
  const next = stage(store, clock);
  clock.wall += 5000;
  assert.equal(next.stops.adopt(), 2);
  assert.equal(next.stops.size, 2);
  clock.advance(0);
  assert.deepEqual(
    next.ran.map(({ command }) => command),
    ['soon'],
  );
  clock.advance(14_999);
  assert.equal(next.ran.length, 1);
  clock.advance(1);
  assert.equal(next.ran.length, 2);
});

test('A clock that was set back keeps no door open longer than the door’s time', () => {
  const { store, clock, stops } = stage();
  stops.schedule('A', '10.0.0.1', 'close', 10_000);
  clock.wall -= 1_000_000_000;
  const next = stage(store, clock);
  next.stops.adopt();
  clock.advance(9999);
  assert.equal(next.ran.length, 0);
  clock.advance(1);
  assert.equal(next.ran.length, 1);
});

test('A clock that is set while it runs moves nothing', () => {
  const { clock, stops, ran } = stage();
  stops.schedule('A', '10.0.0.1', 'close', 10_000);
  clock.wall += 1_000_000;
  clock.advance(9999);
  assert.equal(ran.length, 0);
  clock.advance(1);
  assert.equal(ran.length, 1);
});

test('`release()` leaves the records to whoever comes next', () => {
  const kept = openMemoryStops();
  const { clock, stops, ran } = stage({ ...kept, close: () => {} });
  stops.schedule('A', '10.0.0.1', 'close', 1000);
  stops.release();
  clock.advance(10_000);
  assert.equal(ran.length, 0);
  assert.equal(clock.timers, 0);
  assert.equal(kept.all().length, 1);
});

test('A store that fails costs nothing but the record, and gets another chance with the next renewal', () => {
  const kept = openMemoryStops();
  let broken = true;
  const fail = (): never => {
    throw new Error('disk full');
  };
  const store: StopStore = { ...kept, add: (stop) => (broken ? fail() : kept.add(stop)) };
  const { clock, stops, ran, failures } = stage(store);
  stops.schedule('A', '10.0.0.1', 'close', 5000);
  assert.equal(failures.length, 1);
  assert.equal(stops.has('A', '10.0.0.1', 'close'), true);
  broken = false;
  stops.schedule('A', '10.0.0.1', 'close', 5000);
  assert.equal(kept.all().length, 1);
  clock.advance(5000);
  assert.equal(ran.length, 1);
  ran[0]!.ended();
  assert.equal(kept.all().length, 0);
});

test('A record that somebody else removed is made again by a renewal', () => {
  const { store, stops } = stage();
  stops.schedule('A', '10.0.0.1', 'close', 5000);
  store.remove(store.all()[0]!.id);
  stops.schedule('A', '10.0.0.1', 'close', 5000);
  assert.equal(store.all().length, 1);
});

test('What was opened before the machine started anew is closed at once, and no knock renews it', () => {
  const lasting: StopStore = { ...openMemoryStops(), close: () => {} };
  const { clock, stops } = stage(lasting, undefined, 'first');
  stops.schedule('A', '10.0.0.1', 'close', 60_000);
  stops.release();
  const same = stage(lasting, clock, 'first');
  same.stops.adopt();
  clock.advance(1000);
  assert.deepEqual(told(same.ran), []);
  same.stops.release();
  const later = stage(lasting, clock, 'second');
  later.stops.adopt();
  clock.advance(0);
  assert.deepEqual(told(later.ran), ['close 0']);
  assert.equal(later.stops.has('A', '10.0.0.1', 'close'), false);
});
