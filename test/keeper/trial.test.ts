import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HistoryEvent } from '../../src/core/history.ts';
import { Trial } from '../../src/keeper/trial.ts';
import {
  confirmPending,
  type PendingChange,
  readPending,
  rejectPending,
  withdrawPending,
  writePending,
} from '../../src/store/pending-change.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FILE = '/etc/postern/postern.toml';

function stage(folder: string) {
  const clock = new ManualClock();
  const told: HistoryEvent[] = [];
  const guarded: string[] = [];
  const open = (): Trial =>
    new Trial({
      folder,
      record: (event) => void told.push(event),
      latest: (types) => told.findLast(({ type }) => types.includes(type)),
      wallNow: clock.wallNow,
      uptimeNow: clock.monotonicNow,
      takeBack: (token) => void guarded.push(token),
      after: clock.after,
    });
  const begin = (token: string, previous: string | null = 'old'): PendingChange => {
    const since = clock.wall;
    const change: PendingChange = { token, file: FILE, previous, since, until: since + 60_000, sessions: [] };
    writePending(folder, change);
    return change;
  };
  const types = (): string => told.map(({ type, reason }) => `${type} ${reason}`).join(', ');
  return { clock, told, guarded, open, begin, types };
}

describe('a trial, as the daemon tells of it', () => {
  test('begins when what is tried is in force, and ends confirmed or taken back, without anybody asking', () => {
    using folder = temporaryFolder();
    const { clock, told, open, begin, types } = stage(folder.path);
    const trial = open();
    trial.loaded();
    assert.deepEqual([told, clock.timers], [[], 0]);
    begin('a1');
    clock.advance(10_000);
    assert.deepEqual(told, [], 'what is only written down is not in force');
    trial.loaded();
    trial.loaded();
    assert.deepEqual(told, [{ type: 'applied', reason: 'a1', detail: `${FILE}, for 60 s` }]);
    assert.deepEqual(trial.status(), { file: FILE, remaining_ms: 50_000 });
    confirmPending(folder.path, 'a1', { wall: 0, uptime: 0 });
    clock.advance(1000);
    assert.equal(types(), 'applied a1, confirmed a1');
    assert.deepEqual([trial.status(), clock.timers], [undefined, 0]);
    begin('b2');
    trial.loaded();
    rejectPending(folder.path);
    assert.equal(trial.status(), undefined);
    assert.equal(types(), 'applied a1, confirmed a1, applied b2, reverted b2');
  });

  test('is told of once, whatever daemon comes after the one that died', () => {
    using folder = temporaryFolder();
    const { clock, open, begin, types } = stage(folder.path);
    begin('a1');
    const first = open();
    first.loaded();
    first.release();
    open().loaded();
    assert.equal(types(), 'applied a1');
    rejectPending(folder.path);
    open().loaded();
    open().loaded();
    assert.equal(types(), 'applied a1, reverted a1');
    begin('b2', null);
    open().loaded();
    assert.match(types(), /reverted a1, applied b2$/);
    clock.advance(0);
  });

  test('while it lasts, a reload takes what is tried or what was before, and nothing else', () => {
    using folder = temporaryFolder();
    const { open, begin, types } = stage(folder.path);
    const trial = open();
    begin('a1');
    assert.equal(trial.objection('new', 'old'), undefined, 'the reload that puts it in force');
    trial.loaded();
    assert.deepEqual([trial.objection('new', 'new'), trial.objection('old', 'new')], [undefined, undefined]);
    assert.match(
      trial.objection('newer', 'new') ?? '',
      /has changed, .* on trial for another 60 s\n.*unchanged\nhint: /,
    );
    confirmPending(folder.path, 'a1', { wall: 0, uptime: 0 });
    begin('b2');
    assert.equal(trial.objection('newer', 'new'), undefined, 'the next trial');
    assert.equal(types(), 'applied a1, confirmed a1');
    assert.equal(readPending(folder.path)?.token, 'b2');
    trial.release();
  });

  test('that nobody takes back is taken back by the daemon, which tries again, and ends once', () => {
    using folder = temporaryFolder();
    const { clock, guarded, open, begin, types } = stage(folder.path);
    begin('a1');
    open().loaded();
    clock.advance(64_000);
    assert.deepEqual(guarded, [], 'its own rollback comes first');
    clock.advance(2000);
    assert.deepEqual(guarded, ['a1']);
    clock.advance(10_000);
    assert.deepEqual(guarded, ['a1', 'a1']);
    rejectPending(folder.path);
    clock.advance(60_000);
    assert.deepEqual([guarded.length, clock.timers], [2, 0]);
    assert.match(types(), /^applied a1, warned undefined, warned undefined, reverted a1$/);
  });

  test('whose end nobody wrote down is not told as confirmed', () => {
    using folder = temporaryFolder();
    const { clock, told, open, begin } = stage(folder.path);
    begin('a1');
    open().loaded();
    withdrawPending(folder.path, 'a1');
    clock.advance(1000);
    assert.match(told.at(-1)?.detail ?? '', /ended is not known/);
  });
});
