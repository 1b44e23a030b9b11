/** What a captured watcher may have told and opened. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { News, Order } from '../../src/core/messages.ts';
import type { KeeperEvent } from '../../src/keeper/events.ts';
import { Keeper } from '../../src/keeper/keeper.ts';
import { CLIENT, door } from '../support/knocks.ts';
import { ManualClock } from '../support/manual-clock.ts';

function stage(options: { readonly packets?: boolean; readonly replay?: boolean } = {}) {
  const clock = new ManualClock();
  const told: KeeperEvent[] = [];
  const sent: Order[] = [];
  let openings = 0;
  const keeper = new Keeper(
    {
      tell: (event) => told.push(event),
      open: () => {
        openings += 1;
      },
      send: (order) => sent.push(order),
      sockets: undefined,
      addresses: () => [],
      publicPorts: () => [],
      spendOneTime: () => ({ good: false, next: undefined }),
      monotonicNow: clock.monotonicNow,
      ended: () => {},
    },
    { ipv6: true, packets: false, ...options },
  );
  keeper.configure([{ name: 'A', knock: door('7000,8000') }]);
  const count = (type: KeeperEvent['type']): number => told.filter((event) => event.type === type).length;
  const order = sent.find((one) => one.type === 'configure');
  const revision = (order?.type === 'configure' && order.revisions[0]) || 0;
  const advance: News = { type: 'knock', revision, event: { type: 'advanced', door: 0, source: CLIENT, stage: 1 } };
  const opening: News = { type: 'knock', revision, event: { type: 'opened', door: 0, source: CLIENT } };
  const hear = (report: News, times: number): void => {
    for (let time = 0; time < times; time += 1) keeper.hear(report);
  };
  return { clock, keeper, sent, count, advance, opening, hear, openings: () => openings };
}

const PACKET: News = { type: 'packet', time: 0, protocol: 'tcp', from: '192.0.2.1:1', to: '192.0.2.2:2', length: 60 };
const READY: News = { type: 'ready', confinement: { landlock: 6, seccomp: true, uid: 1, notes: [] } };

test('What a watcher has written down is bounded, at once and a second', () => {
  const { clock, count, advance, hear } = stage();
  hear(advance, 50_000);
  assert.equal(count('advanced'), 12_000);
  clock.advance(1000);
  hear(advance, 50_000);
  assert.equal(count('advanced'), 13_500);
});

test('A capture file is replayed whole', () => {
  const { count, advance, hear } = stage({ replay: true });
  hear(advance, 50_000);
  assert.equal(count('advanced'), 50_000);
});

test('A capture file is read on when an opening has been dealt with, a refused one too', () => {
  const { sent, opening, advance, hear } = stage({ replay: true });
  hear(advance, 3);
  hear(opening, 2);
  hear({ ...opening, revision: 99 } as News, 1);
  assert.equal(sent.filter((order) => order.type === 'read-on').length, 3);
  const live = stage();
  live.hear(live.opening, 2);
  assert.equal(live.sent.filter((order) => order.type === 'read-on').length, 0);
});

test('Packets are told only when asked for', () => {
  const quiet = stage();
  quiet.hear(PACKET, 3);
  assert.equal(quiet.count('packet'), 0);
  const debug = stage({ packets: true });
  debug.hear(PACKET, 3);
  assert.equal(debug.count('packet'), 3);
});

test('A watcher is ready once', () => {
  const { keeper, count, hear } = stage();
  hear(READY, 3);
  assert.equal(count('confined'), 1);
  keeper.greet();
  hear(READY, 3);
  assert.equal(count('confined'), 2);
});

test('A door that is flooded is told once, until half of its openings are back', () => {
  const { clock, count, opening, hear, openings } = stage();
  hear(opening, 1000);
  assert.equal(openings(), 200);
  for (let second = 0; second < 60; second += 1) {
    clock.advance(1000);
    hear(opening, 100);
  }
  assert.equal(openings(), 200 + 60 * 20);
  assert.equal(count('flooded'), 1);
  clock.advance(6000);
  hear(opening, 1000);
  assert.equal(count('flooded'), 2);
});
