/** The account of who probes: points come and go as documented, the weightiest stay, memory is bounded. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Address, ipv4, printAddress } from '../../src/core/address.ts';
import { Attackers, POINTS, SCAN_PORTS } from '../../src/core/attackers.ts';
import type { Sighting } from '../../src/core/sightings.ts';

const SEED = [0x0123_4567, 0x89ab_cdef] as const;
const MALLORY = ipv4(0x0a4d_0109);
const LEAK = { limit: 10, within: 10_000 };

function sighting(rest: Partial<Sighting> = {}): Sighting {
  return { source: MALLORY, traps: 0, closed: 0, unused: 0, ports: [], distinct: 0, ...rest };
}

function tcpPorts(first: number, count: number) {
  return Array.from({ length: count }, (_, index) => ({ protocol: 'tcp' as const, port: first + index }));
}

describe('attackers', () => {
  test('a trap is five points, a protected port one, a failed knock one, ten ports three', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    assert.equal(attackers.touched(sighting({ traps: 1 }), 0).attacker.points, POINTS.trap);
    assert.equal(attackers.touched(sighting({ closed: 2 }), 0).attacker.points, 7);
    assert.equal(attackers.failed(MALLORY, 'ssh', 0).attacker.points, 8);
    assert.equal(attackers.touched(sighting({ unused: 1, ports: tcpPorts(1, 1) }), 0).attacker.points, 8);
    const scan = attackers.touched(sighting({ unused: 9, ports: tcpPorts(2, 8), distinct: SCAN_PORTS }), 0);
    assert.deepEqual([scan.scanned, scan.attacker.scans, scan.attacker.points], [true, 1, 11]);
    assert.equal(attackers.touched(sighting({ unused: 1, ports: tcpPorts(10, 1) }), 0).scanned, false);
    assert.deepEqual(attackers.touched(sighting({ unused: 50, distinct: 50 }), 0).attacker.scans, 5);
  });

  test('a knock that was only too slow, or right and not admitted, is counted and costs no points; the doors are remembered', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    for (let count = 0; count < 20; count += 1) {
      attackers.failed(MALLORY, 'ssh', count, true);
      attackers.denied(MALLORY, `door${count}`, count);
    }
    const { points, failed, denied, doors, since, last } = attackers.list(1, 19)[0]!;
    assert.deepEqual([points, failed, denied, doors.length, since, last], [0, 20, 20, 8, 0, 19]);
    assert.deepEqual(doors.slice(0, 3), ['ssh', 'door0', 'door1']);
  });

  test('a knock that was wrong costs a point', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    const { attacker, scanned } = attackers.failed(MALLORY, 'ssh', 0);
    assert.deepEqual([attacker.points, attacker.failed, scanned], [1, 1, false]);
  });

  test('of the ports the first 32 are remembered, and all are counted', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    for (const port of tcpPorts(1, 40))
      attackers.touched(sighting({ unused: 1, ports: [port], distinct: port.port }), 0);
    const { ports, distinct } = attackers.list(1, 0)[0]!;
    assert.deepEqual([ports.length, distinct], [32, 40]);
  });

  test('a slow scan adds up over its sightings', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    const scanned = tcpPorts(1, 25).map((port, index) =>
      attackers.touched(sighting({ unused: 1, ports: [port], distinct: 1 }), index * 60_000),
    );
    assert.deepEqual(
      scanned.flatMap((verdict, index) => (verdict.scanned ? [index + 1] : [])),
      [10, 20],
    );
  });

  test('points are forgotten evenly, and never below nothing; a clock that steps back forgets none', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    const points = (now: number): number => attackers.touched(sighting(), now).attacker.points;
    attackers.touched(sighting({ traps: 2 }), 0);
    assert.equal(points(5000), 5);
    assert.equal(points(0), 5);
    assert.deepEqual(
      [5000, 6000, 60_000].map((now) => attackers.list(1, now)[0]!.points),
      [5, 4, 0],
    );
    assert.equal(points(60_000), 0);
    attackers.touched(sighting({ traps: 2 }), 60_000);
    attackers.forgive(MALLORY);
    assert.equal(points(60_000), 0);
  });

  test('another pace of forgetting counts from the day it was set, and not before', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    const points = (now: number): number => attackers.list(1, now)[0]!.points;
    attackers.touched(sighting({ traps: 2 }), 0);
    attackers.configure({ limit: 1, within: 10_000 }, 2000);
    assert.deepEqual([points(2000), points(12_000)], [8, 7]);
  });

  test('each packet to an unused port is counted, each port once, and of either protocol', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    const ports = [
      { protocol: 'tcp', port: 53 },
      { protocol: 'udp', port: 53 },
      { protocol: 'tcp', port: 53 },
      { protocol: 'tcp', port: 80 },
    ] as const;
    for (let time = 0; time < 2; time += 1) attackers.touched(sighting({ unused: 4, ports, distinct: 3 }), time);
    const [{ unused, ports: known, distinct } = assert.fail()] = attackers.list(1, 2);
    assert.deepEqual([unused, distinct], [8, 3]);
    assert.deepEqual(
      known.map(({ protocol, port }) => `${protocol}/${port}`),
      ['tcp/53', 'udp/53', 'tcp/80'],
    );
  });

  test('of those who did least the one gives way who was quiet longest, wherever he stands', () => {
    for (let quiet = 0; quiet < 4; quiet += 1) {
      const attackers = new Attackers({ seed: SEED, capacity: 4 }, LEAK);
      for (let who = 0; who < 4; who += 1)
        attackers.touched(sighting({ source: ipv4(who + 1), unused: 2 }), who === quiet ? 10 : 20 + who);
      // More weight stays, though it was quiet longer.
      attackers.touched(sighting({ source: ipv4(((quiet + 1) % 4) + 1), unused: 5 }), 5);
      attackers.touched(sighting({ source: ipv4(9), unused: 1 }), 30);
      const stays = [1, 2, 3, 4, 9].filter((who) => attackers.get(ipv4(who)) !== undefined);
      assert.deepEqual(
        stays,
        [1, 2, 3, 4, 9].filter((who) => who !== quiet + 1),
      );
    }
  });

  test('whose right knocks were not admitted weighs as much as he did', () => {
    const attackers = new Attackers({ seed: SEED, capacity: 2 }, LEAK);
    for (let time = 0; time < 3; time += 1) attackers.denied(ipv4(1), 'ssh', time);
    attackers.touched(sighting({ source: ipv4(2), unused: 2 }), 10);
    attackers.touched(sighting({ source: ipv4(3), unused: 1 }), 11);
    assert.deepEqual(
      [1, 2, 3].map((who) => attackers.get(ipv4(who)) !== undefined),
      [true, false, true],
    );
  });

  test('says who it was, since when, and what was touched', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    attackers.touched(sighting({ traps: 1, ports: tcpPorts(23, 1) }), 1000);
    attackers.touched(sighting({ closed: 3, ports: tcpPorts(22, 1) }), 2000);
    const [first] = attackers.list(10, 2000);
    assert.deepEqual(
      { ...first, source: printAddress(first!.source) },
      {
        source: '10.77.1.9',
        since: 1000,
        last: 2000,
        traps: 1,
        closed: 3,
        unused: 0,
        failed: 0,
        denied: 0,
        doors: [],
        scans: 0,
        ports: [
          { protocol: 'tcp', port: 23 },
          { protocol: 'tcp', port: 22 },
        ],
        distinct: 2,
        points: 7,
      },
    );
  });

  test('knocks that failed are counted, and weigh', () => {
    const attackers = new Attackers({ seed: SEED }, LEAK);
    for (let time = 1; time <= 3; time += 1) attackers.failed(MALLORY, 'ssh', time);
    const { attacker } = attackers.failed(MALLORY, 'ssh', 3);
    assert.deepEqual([attacker.failed, attacker.since, attacker.last, attackers.size], [4, 1, 3, 1]);
    attackers.touched(sighting({ source: ipv4(7), unused: 7 }), 4);
    assert.deepEqual(
      attackers.list(2, 4).map(({ failed }) => failed),
      [4, 0],
    );
  });

  test('who does most stays, however many others come', () => {
    const attackers = new Attackers({ seed: SEED, capacity: 64 }, LEAK);
    for (let turn = 0; turn < 40; turn += 1) attackers.touched(sighting({ closed: 1 }), turn);
    for (let turn = 0; turn < 10_000; turn += 1) {
      attackers.touched(sighting({ source: ipv4(0x0b00_0000 + (turn >> 3)), closed: 1 }), 41 + turn);
    }
    assert.equal(attackers.size, 64);
    assert.equal(printAddress(attackers.list(1, 10_041)[0]!.source), '10.77.1.9');
  });

  test('who gave way and comes back does not begin at nothing', () => {
    const attackers = new Attackers({ seed: SEED, capacity: 2 }, LEAK);
    const [weak, strong, other] = [ipv4(1), ipv4(2), ipv4(3)];
    const touch = (source: Address, closed: number, now: number) =>
      attackers.touched(sighting({ source, closed }), now);
    touch(weak, 5, 0);
    for (const source of [strong, other]) touch(source, 6, 1);
    assert.equal(attackers.get(weak), undefined);
    touch(weak, 2, 2);
    // By its second coming alone it would be the least.
    touch(ipv4(4), 1, 3);
    assert.ok(attackers.get(weak));
  });

  test('the number of sources kept is bounded, and no count is ever negative', () => {
    const deed = fc.record({
      who: fc.nat(50),
      traps: fc.nat(3),
      closed: fc.nat(3),
      unused: fc.nat(100),
      distinct: fc.nat(200),
      now: fc.nat(100_000),
    });
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 300 }), (deeds) => {
        const attackers = new Attackers({ seed: SEED, capacity: 16 }, LEAK);
        for (const { who, now, ...rest } of deeds) {
          const { attacker } = attackers.touched(sighting({ source: ipv4(who), ...rest }), now);
          assert.ok(attacker.points >= 0 && attacker.scans >= 0 && attacker.since <= attacker.last);
        }
        assert.ok(attackers.size <= 16);
      }),
    );
  });
});
