/** Which packets give their sender away, and when the keeper hears of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipv4, printAddress } from '../../src/core/address.ts';
import { ACK, FIN, PSH, RST, SYN, URG } from '../../src/core/door.ts';
import type { Order, Report } from '../../src/core/messages.ts';
import type { Packet } from '../../src/core/packet.ts';
import { Lookout } from '../../src/watcher/lookout.ts';
import { door } from '../support/knocks.ts';
import { ManualClock } from '../support/manual-clock.ts';

const US = ipv4(0x0a00_0001);
const MALLORY = ipv4(0x0a00_0009);

function stage(watched = true) {
  const clock = new ManualClock();
  const reports: Report[] = [];
  const lookout = new Lookout({
    send: (report) => {
      reports.push(report);
      return true;
    },
    random: Int32Array.of(1, 2),
    monotonicNow: clock.monotonicNow,
    after: clock.after,
  });
  const configure: Extract<Order, { readonly type: 'configure' }> = {
    type: 'configure',
    doors: [door('7000,8000:udp,2323')],
    revisions: [1],
    addresses: [US],
    publicPorts: [22, 443],
    ipv6: true,
    packets: false,
    ...(watched && {
      watched: {
        traps: [
          { protocol: 'tcp', first: 23, last: 23 },
          { protocol: 'tcp', first: 2320, last: 2330 },
          { protocol: 'udp', first: 161, last: 161 },
        ],
        closed: [{ protocol: 'tcp', first: 22, last: 22 }],
      },
    }),
  };
  lookout.configure(configure);
  let sequence = 0;
  const packet = (port: number, rest: Partial<Packet> = {}): void => {
    sequence += 1;
    const { protocol = 'tcp' } = rest;
    const flags = protocol === 'tcp' ? SYN : 0;
    const ends = { source: MALLORY, destination: US, sourcePort: 4000, destinationPort: port };
    lookout.packet({ ...ends, protocol, flags, sequence, length: 40, ...rest }, clock.monotonicNow());
  };
  const told = (): string[] =>
    reports.splice(0).map((report) => {
      assert.ok(report.type === 'sighted');
      const { source, traps, closed, unused } = report.sighting;
      return `${printAddress(source)}: ${traps} ${closed} ${unused}`;
    });
  return { lookout, clock, packet, told };
}

test('traps, protected ports and ports where nothing is are told apart; public ports and steps are nobody’s', () => {
  const { clock, packet, told, lookout } = stage();
  for (const port of [23, 2320, 22, 81, 443, 7000, 2323]) packet(port);
  for (const port of [161, 8000, 9999]) packet(port, { protocol: 'udp' });
  clock.advance(499);
  assert.deepEqual(told(), []);
  clock.advance(1);
  assert.deepEqual(told(), ['10.0.0.9: 3 1 1']);
  assert.deepEqual(lookout.totals, { sighted: 5, strangers: 1 });
  clock.advance(10_000);
  assert.deepEqual(told(), []);
  packet(23);
  clock.advance(500);
  assert.deepEqual(told(), ['10.0.0.9: 1 0 0']);
});

test('of one source all can be told at once, and is not told again', () => {
  const { clock, packet, told, lookout } = stage();
  packet(22);
  lookout.tellOf(ipv4(0x0a00_0007));
  assert.deepEqual(told(), []);
  lookout.tellOf(MALLORY);
  assert.deepEqual(told(), ['10.0.0.9: 0 1 0']);
  clock.advance(500);
  assert.deepEqual(told(), []);
  packet(22);
  clock.advance(500);
  assert.deepEqual(told(), ['10.0.0.9: 0 1 0']);
});

test('only what asks for a connection with us counts, and never what we send ourselves', () => {
  const { clock, packet, told } = stage();
  packet(23, { flags: SYN | ACK });
  packet(23, { flags: ACK });
  packet(23, { destination: MALLORY });
  packet(23, { source: US });
  clock.advance(1000);
  assert.deepEqual(told(), []);
});

test('FIN, NULL and Xmas probes are touches as SYNs are; what an open connection sends is none', () => {
  const { clock, packet, told } = stage();
  for (const flags of [0, FIN, FIN | PSH | URG, SYN | FIN]) {
    for (const port of [23, 22, 81, 443, 7000]) packet(port, { flags });
    clock.advance(500);
    assert.deepEqual(told(), ['10.0.0.9: 1 1 1'], `${flags}`);
  }
  for (const flags of [ACK, FIN | ACK, RST, RST | ACK, SYN | ACK, PSH | ACK])
    for (const port of [23, 22, 81]) packet(port, { flags });
  clock.advance(500);
  assert.deepEqual(told(), []);
});

test('public ports and addresses that change count from then on', () => {
  const { clock, packet, told, lookout } = stage();
  lookout.setPublicPorts([81]);
  packet(81);
  packet(443);
  lookout.setLocalAddresses([MALLORY]);
  packet(23);
  clock.advance(500);
  assert.deepEqual(told(), ['10.0.0.9: 0 0 1']);
});

test('without orders nobody is watched', () => {
  const { clock, packet, told } = stage(false);
  for (const port of [23, 22, 81]) packet(port);
  clock.advance(1000);
  assert.deepEqual(told(), []);
});
