/** Bans and leaves: in the kernel and in the state, to their time, back after a restart or a flush. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Address, parseAddress, printAddress } from '../../src/core/address.ts';
import type { HistoryEvent } from '../../src/core/history.ts';
import { FirewallError, type TimedSource } from '../../src/firewall/driver.ts';
import { TimedSources } from '../../src/keeper/timed-sources.ts';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { BANS, type SourceRow } from '../../src/store/rows.ts';
import { ManualClock } from '../support/manual-clock.ts';

const MALLORY = address('192.0.2.66');
const SIX = address('2001:db8:0:1::7');
const BY_HAND = { via: 'hand', user: 'root', reason: '' } as const;

function address(text: string): Address {
  return parseAddress(text)!;
}

function stage(rows: readonly SourceRow[] = [], longest?: number) {
  const clock = new ManualClock();
  const store = openMemoryRows(BANS, rows);
  const kernel = new Map<string, number>();
  const told: string[] = [];
  const state = { refuses: false };
  const answer = (): void => {
    if (state.refuses) throw new FirewallError('busy');
  };
  const sources = new TimedSources({
    rows: store,
    put: async ({ source, remaining }) => {
      answer();
      kernel.set(printAddress(source), remaining);
    },
    take: async (source) => {
      answer();
      kernel.delete(printAddress(source));
    },
    words: { began: 'banned', ended: 'unbanned' },
    record: ({ type, source, reason, user, detail }: HistoryEvent) =>
      void told.push([type, source, user, reason ?? '', detail].filter((word) => word !== undefined).join(' ')),
    ipv6Prefix: () => 64,
    ...(longest !== undefined && { longest }),
    monotonicNow: clock.monotonicNow,
    wallNow: clock.wallNow,
    after: clock.after,
  });
  return { clock, store, kernel, told: () => told.splice(0), sources, state };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('timed sources', () => {
  test('stand in kernel and state to their time; IPv6 by network', async () => {
    const { clock, store, kernel, told, sources } = stage();
    await sources.put(MALLORY, 10_000, BY_HAND);
    await sources.put(SIX, 20_000, { via: 'points', reason: '20 points' });
    assert.deepEqual(told(), ['banned 192.0.2.66 root  for 10 s', 'banned 2001:db8:0:1:: 20 points for 20 s']);
    assert.equal(sources.get(address('2001:db8:0:1::8'))?.reason, '20 points');
    assert.deepEqual(
      [...kernel],
      [
        ['192.0.2.66', 10_000],
        ['2001:db8:0:1::', 20_000],
      ],
    );
    clock.advance(10_000);
    await settled();
    assert.deepEqual([told(), kernel.size, store.all().length], [['unbanned 192.0.2.66 time'], 1, 1]);
    assert.equal(await sources.end(SIX, 'by hand', 'root'), true);
    assert.deepEqual([told(), kernel.size, sources.size], [['unbanned 2001:db8:0:1:: root by hand'], 0, 0]);
    assert.equal(await sources.end(SIX, 'by hand'), false);
  });

  test('beginning anew moves the end', async () => {
    const { clock, sources, told } = stage();
    await sources.put(MALLORY, 10_000, BY_HAND);
    clock.advance(9000);
    await sources.put(MALLORY, 10_000, BY_HAND);
    told();
    clock.advance(9999);
    await settled();
    assert.deepEqual([sources.size, told()], [1, []]);
    clock.advance(1);
    await settled();
    assert.deepEqual([sources.size, told()], [0, ['unbanned 192.0.2.66 time']]);
  });

  test('what the firewall refuses is taken back; what it does not end stays, and is tried again', async () => {
    const { clock, store, sources, state, told } = stage();
    state.refuses = true;
    await assert.rejects(sources.put(MALLORY, 10_000, BY_HAND), FirewallError);
    assert.deepEqual([store.all(), sources.size, told()], [[], 0, []]);
    state.refuses = false;
    await sources.put(MALLORY, 10_000, BY_HAND);
    state.refuses = true;
    await assert.rejects(sources.put(MALLORY, 99_000, BY_HAND), FirewallError);
    assert.equal(store.all()[0]?.longest, 10_000);
    clock.advance(10_000);
    await settled();
    assert.equal(sources.size, 1);
    state.refuses = false;
    clock.advance(5000);
    await settled();
    assert.equal(sources.size, 0);
  });

  test('at start the kernel is right; what it lost goes back for the rest of its time, what is over is forgotten', async () => {
    const wall = new ManualClock().wall;
    const row = (source: string, left: number): SourceRow => ({
      source,
      until: wall + left,
      longest: 60_000,
      via: 'hand',
      reason: '',
    });
    const standing: TimedSource[] = [
      { source: MALLORY, remaining: 30_000 },
      { source: address('192.0.2.99'), remaining: Number.POSITIVE_INFINITY },
    ];
    const { sources, store, kernel } = stage([
      row('192.0.2.66', 40_000),
      row('192.0.2.67', 50_000),
      row('192.0.2.68', -1),
    ]);
    await sources.reconcile(standing);
    assert.deepEqual(
      sources.live().map((each) => [printAddress(each.source), each.until, each.via]),
      [
        ['192.0.2.66', 30_000, 'hand'],
        ['192.0.2.67', 50_000, 'hand'],
        ['192.0.2.99', Number.POSITIVE_INFINITY, 'adopted'],
      ],
    );
    assert.deepEqual([...kernel.keys()], ['192.0.2.67']);
    assert.deepEqual(
      store.all().map(({ source }) => source),
      ['192.0.2.66', '192.0.2.67'],
    );
  });

  test('at start what was over ends at once, and what a kernel that lost nothing does not have any more had ended', async () => {
    const wall = new ManualClock().wall;
    const row = (source: string, left: number): SourceRow => ({
      source,
      until: wall + left,
      longest: 60_000,
      via: 'hand',
      reason: '',
    });
    const { sources, store, kernel } = stage([row('192.0.2.66', -1), row('192.0.2.67', 50_000)]);
    kernel.set('192.0.2.66', Number.POSITIVE_INFINITY);
    await sources.reconcile([{ source: MALLORY, remaining: Number.POSITIVE_INFINITY }], true);
    assert.deepEqual([sources.size, store.all(), [...kernel.keys()]], [0, [], []]);
  });

  test('what goes back is written down for what is left of it: no start gives it its whole time again', async () => {
    const { clock, store, sources } = stage([
      { source: '192.0.2.66', until: new ManualClock().wall + 20_000, longest: 60_000, via: 'hand', reason: '' },
    ]);
    await sources.reconcile([]);
    const { until, longest } = store.all()[0]!;
    assert.deepEqual([until - clock.wall, longest], [20_000, 20_000]);
  });

  test('what lasts longer than the kernel can count is put in again in time, and tried again where it is refused', async () => {
    const { clock, kernel, sources, state, told } = stage([], 10_000);
    await sources.put(MALLORY, 28_000, BY_HAND);
    assert.deepEqual([[...kernel.values()], told()], [[10_000], ['banned 192.0.2.66 root  for 28 s']]);
    const after = async (delay: number): Promise<readonly number[]> => {
      kernel.clear();
      clock.advance(delay);
      await settled();
      return [...kernel.values()];
    };
    assert.deepEqual(await after(4999), []);
    assert.deepEqual(await after(1), [10_000]);
    state.refuses = true;
    assert.deepEqual(await after(5000), []);
    assert.match(told()[0]!, /^warned 192\.0\.2\.66 .*busy$/);
    state.refuses = false;
    assert.deepEqual(await after(5000), [10_000], 'tried again');
    assert.deepEqual(await after(5000), [8000], 'the rest, which the kernel counts by itself');
    assert.deepEqual([await after(7999), told(), sources.size], [[], [], 1]);
    assert.deepEqual([await after(1), told(), sources.size], [[], ['unbanned 192.0.2.66 time'], 0]);
  });

  test('at start the state is right about what the kernel could not count to its end', async () => {
    const wall = new ManualClock().wall;
    const row = (source: string, longest: number): SourceRow => ({
      source,
      until: wall + longest - 1000,
      longest,
      via: 'hand',
      reason: '',
    });
    const { sources, kernel } = stage(
      [row('192.0.2.66', 40_000), row('192.0.2.67', 40_000), row('192.0.2.68', 9000)],
      10_000,
    );
    await sources.reconcile([{ source: MALLORY, remaining: 3000 }], true);
    assert.deepEqual(
      sources.live().map((each) => [printAddress(each.source), each.until]),
      [
        ['192.0.2.66', 39_000],
        ['192.0.2.67', 39_000],
      ],
    );
    assert.deepEqual([...kernel.values()], [10_000, 10_000]);
  });

  test('those of IPv6 end together, where networks are to have another length', async () => {
    const { kernel, sources, told } = stage();
    for (const source of [MALLORY, SIX]) await sources.put(source, 10_000, BY_HAND);
    told();
    await sources.endNetworks('another ipv6_prefix');
    assert.deepEqual([told(), [...kernel.keys()]], [['unbanned 2001:db8:0:1:: another ipv6_prefix'], ['192.0.2.66']]);
  });

  test('after a flush everything is put back for the rest of its time', async () => {
    const { clock, sources, kernel } = stage();
    await sources.put(MALLORY, 10_000, BY_HAND);
    clock.advance(4000);
    kernel.clear();
    await sources.restore();
    assert.deepEqual([...kernel], [['192.0.2.66', 6000]]);
    sources.release();
    assert.equal(clock.timers, 0);
  });
});
