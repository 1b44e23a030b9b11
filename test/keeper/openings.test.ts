import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../src/core/address.ts';
import { Commands } from '../../src/keeper/commands.ts';
import { Journal } from '../../src/keeper/journal.ts';
import { Names } from '../../src/keeper/names.ts';
import { type OpenableDoor, Openings } from '../../src/keeper/openings.ts';
import { PendingStops } from '../../src/keeper/pending-stops.ts';
import type { ProcessMarks } from '../../src/platform/process-mark.ts';
import { openMemoryStops } from '../../src/store/memory-stops.ts';
import type { StopStore } from '../../src/store/stop-store.ts';
import { FakePrograms, settled } from '../support/fake-programs.ts';
import { address } from '../support/knocks.ts';
import { ManualClock } from '../support/manual-clock.ts';

const CLIENT = address('10.0.0.1');
const OTHER = address('10.0.0.2');

const DOOR: OpenableDoor = {
  name: 'A',
  key: 'A',
  commands: { startCommand: 'open %IP%', stopCommand: 'close %IP%' },
  cmdTimeout: 10_000,
};
const PLAIN: OpenableDoor = { ...DOOR, name: 'P', key: 'P', commands: { startCommand: 'run %IP%' } };

/** A store that is there for the next process, as one on disk is. */
function lastingStops(): StopStore {
  return { ...openMemoryStops(), close: () => {} };
}

function stage(store = lastingStops(), clock = new ManualClock(), marks?: ProcessMarks) {
  const programs = new FakePrograms();
  const said: string[] = [];
  const journal = new Journal({
    stdout: (text) => said.push(text.trimEnd()),
    stderr: (text) => said.push(text.trimEnd()),
    wallNow: clock.wallNow,
    openSyslog: () => ({ write: () => {}, close: () => {} }),
  });
  journal.show({ verbose: true, debug: false });
  const commands = new Commands({ run: programs.run, after: clock.after });
  const stops: PendingStops = new PendingStops(store, {
    wallNow: clock.wallNow,
    after: clock.after,
    boot: 'this',
    run: (stop, ended) => openings.stop(stop, ended),
    storeFailed: (error) => assert.fail(String(error)),
  });
  const openings = new Openings({ commands, stops, journal, names: new Names(), marks: marks ?? programs.marks });
  const open = (door: OpenableDoor, source: Address = CLIENT): void => openings.open(door, source);
  const end = async (line: string, status = 0): Promise<void> => {
    programs.end(line, { status });
    await settled();
  };
  return { clock, programs, said, stops, store, open, end };
}

test('A door opens at once and closes its time after the end of its start command', async () => {
  const { clock, programs, said, stops, open, end } = stage();
  open(DOOR);
  assert.equal(stops.size, 1, 'the stop is on record before the start command has ended');
  clock.advance(3000);
  await end('open 10.0.0.1');
  clock.advance(9999);
  assert.deepEqual(programs.started, ['open 10.0.0.1']);
  clock.advance(1);
  assert.deepEqual(programs.started, ['open 10.0.0.1', 'close 10.0.0.1']);
  assert.deepEqual(said, [
    'A: running command: open 10.0.0.1',
    '10.0.0.1: A: command timeout',
    'A: running command: close 10.0.0.1',
  ]);
});

test('A repeated knock renews: nothing runs, the stop moves', async () => {
  const { clock, programs, said, open, end } = stage();
  open(DOOR);
  await end('open 10.0.0.1');
  clock.advance(8000);
  open(DOOR);
  clock.advance(9999);
  assert.deepEqual(programs.started, ['open 10.0.0.1']);
  clock.advance(1);
  await end('close 10.0.0.1');
  clock.advance(60_000);
  assert.deepEqual(programs.started, ['open 10.0.0.1', 'close 10.0.0.1']);
  assert.ok(said.includes('10.0.0.1: A: renewed for 10 s'));
});

test('A knock while the start command still runs starts no second one', async () => {
  const { clock, programs, open, end } = stage();
  open(DOOR);
  open(DOOR);
  await end('open 10.0.0.1');
  clock.advance(10_000);
  assert.deepEqual(programs.started, ['open 10.0.0.1', 'close 10.0.0.1']);
});

test('A start command that takes longer than the door’s time is not closed under its feet', async () => {
  const { clock, programs, open, end } = stage();
  open(DOOR);
  clock.advance(35_000);
  assert.deepEqual(programs.started, ['open 10.0.0.1']);
  await end('open 10.0.0.1');
  clock.advance(9999);
  assert.equal(programs.started.length, 1);
  clock.advance(1);
  assert.equal(programs.started.length, 2);
});

test('A start command that outlives the daemon is not closed under its feet by who comes next', async () => {
  const { clock, programs, stops, store, open } = stage();
  open(DOOR);
  stops.release(); // The daemon is gone; the command goes on.
  let runs = true;
  const next = stage(store, clock, { ...programs.marks, stillRuns: (mark) => runs && programs.marks.stillRuns(mark) });
  assert.equal(next.stops.adopt(), 1);
  clock.advance(35_000);
  assert.deepEqual(next.programs.started, []);
  runs = false;
  clock.advance(10_000);
  assert.deepEqual(next.programs.started, ['close 10.0.0.1']);
  await next.end('close 10.0.0.1');
  assert.deepEqual(store.all(), []);
});

test('A start command that has ended holds up no stop, though it is still named in the record', async () => {
  const { clock, programs, stops, store, open, end } = stage();
  open(DOOR);
  await end('open 10.0.0.1');
  stops.release();
  const next = stage(store, clock, programs.marks);
  next.stops.adopt();
  clock.advance(10_000);
  assert.deepEqual(next.programs.started, ['close 10.0.0.1']);
});

test('A door with no time at all does not write its record over and over while its start command runs', async () => {
  const { clock, programs, open, end } = stage();
  open({ ...DOOR, cmdTimeout: 0 });
  clock.advance(0);
  assert.equal(clock.timers > 0, true);
  clock.advance(10);
  assert.deepEqual(programs.started, ['open 10.0.0.1']);
  await end('open 10.0.0.1');
  clock.advance(0);
  assert.deepEqual(programs.started, ['open 10.0.0.1', 'close 10.0.0.1']);
});

test('After a start command that failed, a repeated knock tries again', async () => {
  const { programs, said, open, end } = stage();
  open(DOOR);
  await end('open 10.0.0.1', 4);
  open(DOOR);
  assert.deepEqual(programs.started, ['open 10.0.0.1', 'open 10.0.0.1']);
  assert.ok(said.includes('A: command returned non-zero status code (4)'));
  await end('open 10.0.0.1');
  open(DOOR);
  assert.equal(programs.started.length, 2);
});

test('A knock while the stop command runs opens anew, after it', async () => {
  const { clock, programs, open, end } = stage();
  open(DOOR);
  await end('open 10.0.0.1');
  clock.advance(10_000);
  open(DOOR);
  assert.deepEqual(programs.running, ['close 10.0.0.1']);
  await end('close 10.0.0.1');
  assert.deepEqual(programs.running, ['open 10.0.0.1']);
  await end('open 10.0.0.1');
  clock.advance(10_000);
  assert.deepEqual(programs.running, ['close 10.0.0.1']);
});

test('Doors and sources do not wait for each other', () => {
  const { programs, open } = stage();
  open(DOOR);
  open(DOOR, OTHER);
  open(PLAIN);
  assert.deepEqual(programs.running, ['open 10.0.0.1', 'open 10.0.0.2', 'run 10.0.0.1']);
});

test('A door without a stop command runs its command for each knock', async () => {
  const { programs, open, end } = stage();
  open(PLAIN);
  await end('run 10.0.0.1');
  open(PLAIN);
  assert.deepEqual(programs.started, ['run 10.0.0.1', 'run 10.0.0.1']);
});

test('When too many commands wait, the door says so, and the next knock tries again', async () => {
  const { programs, said, open, end } = stage();
  const slow: OpenableDoor = { ...PLAIN, key: 'A' };
  for (let count = 0; count < 3; count += 1) open(slow);
  open(DOOR);
  assert.ok(said.includes('10.0.0.1: A: too many commands are waiting, this one does not run'));
  for (let count = 0; count < 3; count += 1) await end('run 10.0.0.1');
  open(DOOR);
  assert.deepEqual(programs.running, ['open 10.0.0.1']);
});

test('After a reload with another stop command a knock is a new grant, and the old one ends in its way', async () => {
  const { clock, programs, open, end } = stage();
  open(DOOR);
  await end('open 10.0.0.1');
  clock.advance(5000);
  open({ ...DOOR, commands: { startCommand: 'OPEN %IP%', stopCommand: 'CLOSE %IP%' } });
  await end('OPEN 10.0.0.1');
  clock.advance(5000);
  await end('close 10.0.0.1');
  clock.advance(5000);
  assert.deepEqual(programs.started, ['open 10.0.0.1', 'OPEN 10.0.0.1', 'close 10.0.0.1', 'CLOSE 10.0.0.1']);
});

test('A signal that ends a command, and a command that cannot start, are told', async () => {
  const { programs, said, open } = stage();
  open(PLAIN);
  programs.end('run 10.0.0.1', { signal: 'SIGSEGV' });
  await settled();
  open(PLAIN);
  programs.end('run 10.0.0.1', { failed: 'no memory' });
  await settled();
  assert.ok(said.includes('P: command was killed by SIGSEGV'));
  assert.ok(said.includes('P: error: command fork failed! (no memory)'));
});
