/** What the watcher adds up of packets that knock nowhere: exact for few, bounded for many, whoever sends them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Address, ipv4, parseAddress, printAddress } from '../../src/core/address.ts';
import { DistinctCount } from '../../src/core/distinct-count.ts';
import { keyedHash } from '../../src/core/keyed-hash.ts';
import { MOST_PORTS, MOST_TOLD, Sightings, type Touch } from '../../src/core/sightings.ts';

const SEED = [0x0123_4567, 0x89ab_cdef] as const;
const MALLORY = ipv4(0x0a4d_0109);

let sequence = 0;
function packet(source: Address, port: number, rest: { protocol?: 'tcp' | 'udp'; sequence?: number } = {}) {
  sequence += 1;
  return { source, protocol: 'tcp' as const, port, sourcePort: 40_000, sequence, ...rest };
}

/** They compete for the same four places. */
function sourcesOfOneSet(count: number): Address[] {
  const all = Array.from({ length: 10_000 }, (_, index) => ipv4(index + 1));
  return all.filter(({ a, b, c, d }) => (keyedHash(SEED, a, b, c, d) & 255) === 7).slice(0, count);
}

describe('sightings', () => {
  test('add up what each source did, the weightiest first, and begin anew when told', () => {
    const sightings = new Sightings(SEED);
    const bob = parseAddress('2001:db8::b')!;
    for (const port of [22, 22, 81]) sightings.note(port === 22 ? 'closed' : 'unused', packet(MALLORY, port), 0);
    sightings.note('trap', packet(bob, 23), 0);
    sightings.note('trap', packet(bob, 161, { protocol: 'udp' }), 0);
    const told = sightings.take().map(({ source, ports, ...rest }) => ({
      ...rest,
      source: printAddress(source),
      ports: ports.map(({ protocol, port }) => `${protocol}/${port}`),
    }));
    assert.deepEqual(told, [
      { source: '2001:db8::b', traps: 2, closed: 0, unused: 0, distinct: 2, ports: ['tcp/23', 'udp/161'] },
      { source: '10.77.1.9', traps: 0, closed: 2, unused: 1, distinct: 2, ports: ['tcp/22', 'tcp/81'] },
    ]);
    assert.ok(sightings.empty);
    assert.deepEqual([sightings.take(), sightings.totals.packets], [[], 5]);
  });

  test('of one source can be taken before the others', () => {
    const sightings = new Sightings(SEED);
    const bob = ipv4(0x0a4d_0102);
    for (const source of [bob, MALLORY, bob]) sightings.note('closed', packet(source, 22), 0);
    assert.equal(sightings.takeOf(ipv4(1)), undefined);
    const { source, closed, distinct } = sightings.takeOf(bob)!;
    assert.deepEqual([printAddress(source), closed, distinct], ['10.77.1.2', 2, 1]);
    assert.deepEqual([sightings.takeOf(bob), sightings.empty], [undefined, false]);
    assert.deepEqual(
      sightings.take().map((each) => printAddress(each.source)),
      ['10.77.1.9'],
    );
    sightings.note('trap', packet(MALLORY, 23), 0);
    assert.ok(sightings.takeOf(MALLORY));
    assert.ok(sightings.empty);
  });

  test('where a set is full, who did least gives way to who did more, wherever he stands, and to nobody else', () => {
    const inSet = sourcesOfOneSet(6);
    for (let least = 0; least < 4; least += 1) {
      const sightings = new Sightings(SEED);
      const [heavier, light] = inSet.slice(4) as [Address, Address];
      for (const [index, source] of inSet.slice(0, 4).entries())
        sightings.note(index === least ? 'closed' : 'trap', packet(source, 22), 0);
      sightings.note('unused', packet(light, 80), 0);
      sightings.note('trap', packet(heavier, 23), 0);
      sightings.note('unused', packet(light, 81), 0);
      const told = new Set(sightings.take().map(({ source }) => printAddress(source)));
      const expected = inSet.slice(0, 5).filter((_, index) => index !== least);
      assert.deepEqual(told, new Set(expected.map(printAddress)), `${least}`);
      assert.ok(sightings.empty);
      for (const source of expected) sightings.note('closed', packet(source, 22), 0);
      sightings.note('trap', packet(inSet[least]!, 23), 0);
      assert.equal([...inSet].filter((source) => sightings.takeOf(source)).length, 4);
      assert.ok(sightings.empty, 'nobody is counted twice');
    }
  });

  test('what somebody did long ago gives him no place before those who do more now', () => {
    const [once, ...now] = sourcesOfOneSet(5);
    const sightings = new Sightings(SEED);
    for (let port = 1; port <= 20; port += 1) sightings.note('trap', packet(once!, port), 0);
    for (let telling = 0; telling < 12; telling += 1) sightings.take();
    for (const source of now) sightings.note('closed', packet(source, 22), 1);
    sightings.note('unused', packet(once!, 80), 1);
    assert.deepEqual(new Set(sightings.take().map(({ source }) => source)), new Set(now));
  });

  test('a retransmitted SYN counts once, as long as systems send one again; another connection counts', () => {
    const sightings = new Sightings(SEED);
    const syn = packet(MALLORY, 22, { sequence: 7 });
    assert.deepEqual(
      [0, 1000, 3000, 127_000].map((now) => sightings.note('closed', syn, now)),
      [true, false, false, false],
    );
    assert.ok(sightings.note('closed', { ...syn, sourcePort: 40_001 }, 127_000));
    assert.ok(sightings.note('closed', { ...syn, sequence: 8 }, 127_000));
    assert.ok(sightings.note('closed', packet(MALLORY, 22, { sequence: 7 }), 600_000));
    assert.equal(sightings.take()[0]?.closed, 4);
  });

  test('a SYN that comes again after 130 seconds is another one', () => {
    for (const [later, counts] of [
      [129_999, false],
      [130_000, true],
    ] as const) {
      const sightings = new Sightings(SEED);
      assert.ok(sightings.empty);
      const syn = packet(MALLORY, 22);
      sightings.note('closed', syn, 0);
      assert.ok(!sightings.empty);
      assert.equal(sightings.note('closed', syn, later), counts);
    }
  });

  test('different ports are counted exactly, over all tellings', () => {
    const sightings = new Sightings(SEED);
    const told = (): number => sightings.take()[0]!.distinct;
    for (let port = 1; port <= 5000; port += 1) sightings.note('unused', packet(MALLORY, port), 0);
    assert.equal(told(), 5000);
    sightings.note('unused', packet(MALLORY, 5000), 1);
    assert.equal(told(), 5000);
    sightings.note('trap', packet(MALLORY, 161, { protocol: 'udp' }), 2);
    assert.equal(told(), 5001);
  });

  test('a datagram has no number: each counts', () => {
    const sightings = new Sightings(SEED);
    const datagram = packet(MALLORY, 161, { protocol: 'udp', sequence: 0 });
    for (const now of [0, 1]) assert.ok(sightings.note('trap', datagram, now));
  });

  test('of many ports eight are named, traps first', () => {
    const sightings = new Sightings(SEED);
    for (let port = 1; port <= 60; port += 1) sightings.note('unused', packet(MALLORY, port), 0);
    sightings.note('trap', packet(MALLORY, 23), 0);
    const [told] = sightings.take();
    assert.deepEqual([told!.ports.length, told!.ports[0]!.port, told!.distinct], [MOST_PORTS, 23, 60]);
  });

  test('a flood of forged sources hides nobody who does more, and grows nothing', () => {
    const sightings = new Sightings(SEED);
    for (let turn = 0; turn < 100_000; turn += 1) {
      sightings.note('closed', packet(ipv4(0x0b00_0000 + turn), 22), 0);
      if (turn % 1000 === 0) sightings.note('trap', packet(MALLORY, 23), 0);
    }
    const told = sightings.take();
    assert.equal(told.length, MOST_TOLD);
    assert.deepEqual([printAddress(told[0]!.source), told[0]!.traps], ['10.77.1.9', 100]);
    const { packets, sources } = sightings.totals;
    // One in half a million is taken for another's repeat.
    assert.ok(packets > 100_090 && packets <= 100_100, `${packets}`);
    assert.ok(Math.abs(sources - 100_001) < 10_000, `${sources}`);
  });

  test('who does more than each of a forged crowd is told, though a packet of theirs weighs more', () => {
    const sightings = new Sightings(SEED);
    let forged = 0;
    let seen = 0;
    for (let telling = 0; telling < 10; telling += 1) {
      for (let turn = 0; turn < 10_000; turn += 1) {
        forged += 1;
        sightings.note('trap', packet(ipv4(0x0b00_0000 + forged), 23), telling * 500);
        if (turn % 2000 === 0) sightings.note('closed', packet(MALLORY, 22), telling * 500);
      }
      seen += sightings.take().find(({ source }) => printAddress(source) === '10.77.1.9')?.closed ?? 0;
    }
    assert.ok(seen >= 45 && seen <= 50, `${seen} of 50`);
  });

  test('few sources are counted exactly, whatever they do', () => {
    const touch = fc.constantFrom<Touch>('trap', 'closed', 'unused');
    const act = fc.record({ who: fc.nat(3), touch, port: fc.integer({ min: 1, max: 65_535 }) });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
        const sightings = new Sightings(SEED);
        for (const { who, touch: kind, port } of acts) sightings.note(kind, packet(ipv4(who + 1), port), 0);
        const told = sightings.take();
        for (const kind of ['trap', 'closed', 'unused'] as const) {
          const key = kind === 'trap' ? 'traps' : kind;
          const sum = told.reduce((total, sighting) => total + sighting[key], 0);
          assert.equal(sum, acts.filter((each) => each.touch === kind).length);
        }
        for (const { source, distinct, ports } of told) {
          const mine = acts.filter(({ who }) => printAddress(ipv4(who + 1)) === printAddress(source));
          assert.equal(distinct, new Set(mine.map(({ port }) => port)).size);
          assert.ok(distinct >= ports.length);
        }
      }),
    );
  });
});

describe('the count of distinct addresses', () => {
  test('is within a tenth, from none to a million, and repeats change nothing', () => {
    const count = new DistinctCount(SEED);
    assert.equal(count.estimate(), 0);
    let added = 0;
    for (const goal of [1, 10, 1000, 5000, 100_000, 1_000_000]) {
      for (; added < goal; added += 1) count.add(ipv4(added * 2_654_435_761));
      const before = count.estimate();
      assert.ok(Math.abs(before - goal) <= goal * 0.1 + 1, `${before} for ${goal}`);
      count.add(ipv4(0));
      assert.equal(count.estimate(), before);
    }
  });
});
