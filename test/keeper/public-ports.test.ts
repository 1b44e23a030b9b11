/** What is public reaches the watcher with its orders, and the filter is not what it rests on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeOrder, encodeOrder, type Report } from '../../src/core/messages.ts';
import type { Refreshed } from '../../src/keeper/capture-sockets.ts';
import type { KeeperEvent } from '../../src/keeper/events.ts';
import { Keeper } from '../../src/keeper/keeper.ts';
import { Watch } from '../../src/watcher/watch.ts';
import { CLIENT, door, LOCAL, packet } from '../support/knocks.ts';

function stage() {
  const told: KeeperEvent[] = [];
  const reports: Report[] = [];
  const host = { ports: [22] as readonly number[], failed: undefined as string | undefined };
  const watch = new Watch({ send: (report) => reports.push(report) > 0, random: Int32Array.of(1, 2), replay: true });
  const refreshed = (): Refreshed => ({ lost: [], back: [], readdressed: false, failed: host.failed });
  const keeper = new Keeper(
    {
      tell: (event) => told.push(event),
      open: () => {},
      send: (order) => watch.obey(decodeOrder(encodeOrder(order))),
      sockets: { addresses: [LOCAL], refilter: () => host.failed, refresh: refreshed },
      addresses: () => [],
      publicPorts: () => host.ports,
      spendOneTime: () => ({ good: false, next: undefined }),
      monotonicNow: () => 0,
      ended: () => {},
    },
    { ipv6: true, packets: false },
  );
  keeper.configure([{ name: 'A', knock: door('7000,8000', { strays: 0 }) }]);
  let now = 0;
  /** What the last of these ports came to. */
  const knock = (...ports: readonly number[]): string | undefined => {
    reports.length = 0;
    for (const port of ports) watch.packet(packet(CLIENT, port), now++, 60);
    const last = reports.at(-1);
    return last?.type === 'knock' ? last.event.type : undefined;
  };
  return { keeper, host, told, knock };
}

test('A connection to a public port costs no knock, whatever the filter lets through', () => {
  const { knock } = stage();
  assert.equal(knock(7000, 22, 8000), 'opened');
  assert.equal(knock(7000, 443), 'failed');
});

test('The watcher is told when other ports become public', () => {
  const { keeper, host, knock } = stage();
  host.ports = [443];
  keeper.refreshPublicPorts();
  assert.equal(knock(7000, 443, 8000), 'opened');
  assert.equal(knock(7000, 22), 'failed');
});

test('A filter that stays as it was is told once, until another is attached', () => {
  const { keeper, host, told } = stage();
  const change = (failed?: string): void => {
    host.failed = failed;
    host.ports = [...host.ports, host.ports.length];
    keeper.refreshPublicPorts();
    keeper.networkChanged();
  };
  change('no memory');
  change('no memory');
  assert.deepEqual(told, [{ type: 'filter-kept', reason: 'no memory' }]);
  change();
  change('no memory');
  assert.equal(told.length, 2);
});
