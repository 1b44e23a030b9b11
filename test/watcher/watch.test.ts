/** What the watcher makes of its keeper's orders. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipv4 } from '../../src/core/address.ts';
import { type Door, SYN } from '../../src/core/door.ts';
import type { Order, Report } from '../../src/core/messages.ts';
import type { Packet } from '../../src/core/packet.ts';
import { Watch } from '../../src/watcher/watch.ts';
import { steps } from '../support/knocks.ts';

function doorOf(name: string, sequence: string): Door {
  return { name, steps: steps(sequence), window: 60_000, strays: 2, tcpFlags: { set: SYN, clear: 0 } };
}

function stage() {
  const reports: Report[] = [];
  const watch = new Watch({
    send: (report) => {
      reports.push(report);
      return true;
    },
    random: Int32Array.of(1, 2),
    replay: true,
  });
  let time = 0;
  const knock = (port: number): void => {
    time += 1;
    const packet: Packet = {
      source: ipv4(0x0a000002),
      destination: ipv4(0x0a000001),
      protocol: 'tcp',
      sourcePort: 1000 + time,
      destinationPort: port,
      flags: SYN,
      sequence: time,
      length: 40,
    };
    watch.packet(packet, time, 54);
  };
  const opened = (): readonly (readonly [number, number])[] =>
    reports.flatMap((report) =>
      report.type === 'knock' && report.event.type === 'opened' ? [[report.event.door, report.revision] as const] : [],
    );
  const configure = (doors: readonly Door[], revisions: readonly number[]): void => {
    const order = {
      type: 'configure',
      doors,
      revisions,
      addresses: 'any',
      ipv6: true,
      packets: false,
      publicPorts: [],
    };
    watch.obey(order as unknown as Order);
  };
  return { watch, knock, opened, configure };
}

test('A configuration with the same doors leaves half-done knocks alone, and counts under its own revisions', () => {
  const { knock, opened, configure } = stage();
  configure([doorOf('a', '1,2'), doorOf('b', '3,4')], [1, 1]);
  knock(1);
  configure([doorOf('a', '1,2'), doorOf('b', '3,4')], [1, 2]);
  knock(2);
  knock(3);
  knock(4);
  assert.deepEqual(opened(), [
    [0, 1],
    [1, 2],
  ]);
});

test('After one door’s sequence was replaced, the same configuration again still leaves half-done knocks alone', () => {
  const { watch, knock, opened, configure } = stage();
  configure([doorOf('a', '1,2'), doorOf('once', '3,4')], [1, 1]);
  watch.obey({ type: 'door', revision: 2, index: 1, door: doorOf('once', '5,6') });
  knock(1);
  configure([doorOf('a', '1,2'), doorOf('once', '5,6')], [1, 2]);
  knock(2);
  knock(5);
  knock(6);
  assert.deepEqual(opened(), [
    [0, 1],
    [1, 2],
  ]);
});

test('Other doors begin from nothing', () => {
  const { knock, opened, configure } = stage();
  configure([doorOf('a', '1,2')], [1]);
  knock(1);
  configure([doorOf('a', '9,2')], [2]);
  knock(2);
  assert.deepEqual(opened(), []);
});

test('A replay waits after each opening until it is answered, so that the next one-time sequence is in force', () => {
  const { watch, knock, opened, configure } = stage();
  configure([doorOf('once', '3,4'), doorOf('same', '3,4')], [1, 1]);
  knock(3);
  assert.equal(watch.waits(), false);
  knock(4);
  assert.equal(opened().length, 2);
  watch.obey({ type: 'door', revision: 2, index: 0, door: doorOf('once', '5,6') });
  watch.obey({ type: 'read-on' });
  assert.equal(watch.waits(), true);
  watch.obey({ type: 'read-on' });
  assert.equal(watch.waits(), false);
  knock(5);
  knock(6);
  assert.deepEqual(opened().at(-1), [0, 2]);
});
