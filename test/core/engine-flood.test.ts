import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Address, ipv4 } from '../../src/core/address.ts';
import type { Door } from '../../src/core/door.ts';
import { Engine } from '../../src/core/engine.ts';
import type { KnockEvent } from '../../src/core/events.ts';
import { address, door, LOCAL, packet } from '../support/knocks.ts';

const SEED = [0x243f6a88, 0x85a308d3] as const;
const PER_MILLISECOND = 25;

/** A pseudo-random word for each index: a multiplicative walk through all of them. */
function word(index: number): number {
  return Math.imul(index, 0x9e3779b1) ^ (index >>> 7);
}

/**
 * An honest client knocks 7000, 8000, 9000 with 100 ms between, ten times, while 25,000 first steps a second come from spoofed
 * sources. Returns how often the first door opened for it.
 */
function honestOpens(engine: Engine, client: Address, spoofed: (index: number) => Address, rounds = 10): number {
  engine.setLocalAddresses([LOCAL]);
  let opened = 0;
  let index = 0;
  let now = 0;
  const look = (events: readonly KnockEvent[]): void => {
    for (const event of events) if (event.type === 'opened' && event.door === 0) opened += 1;
  };
  const flood = (milliseconds: number): void => {
    for (const end = now + milliseconds; now < end; now += 1) {
      for (let sent = 0; sent < PER_MILLISECOND; sent += 1) {
        engine.packet(packet(spoofed(++index), 7000), now);
        assert.ok(engine.size <= 1_048_576);
      }
      engine.expire(now);
    }
  };
  for (let round = 0; round < rounds; round += 1) {
    flood(50);
    look(engine.packet(packet(client, 7000), now));
    flood(100);
    look(engine.packet(packet(client, 8000), now));
    flood(100);
    look(engine.packet(packet(client, 9000), now));
  }
  return opened;
}

const CLIENT4 = address('198.51.100.77');
const CLIENT6 = address('2001:db8:1:2::77');

test('An honest client gets in while 25,000 first steps a second come from random sources', () => {
  const engine = new Engine([door('7000,8000,9000')], { seed: SEED });
  assert.equal(
    honestOpens(engine, CLIENT4, (index) => ipv4(word(index))),
    10,
  );
});

test('An honest client gets in while the flood comes from its own /24, its own address among them', () => {
  const engine = new Engine([door('7000,8000,9000')], { seed: SEED });
  assert.equal(
    honestOpens(engine, CLIENT4, (index) => ipv4((CLIENT4.d & ~255) | (word(index) & 255))),
    10,
  );
});

test('An honest client gets in while the flood comes from its own /56', () => {
  const engine = new Engine([door('7000,8000,9000')], { seed: SEED });
  const neighbour = (index: number): Address => ({
    ...CLIENT6,
    b: CLIENT6.b ^ (index & 255),
    c: word(index),
    d: index,
  });
  assert.equal(honestOpens(engine, CLIENT6, neighbour), 10);
});

test('An honest client gets in while 100 doors share the first step that is flooded', () => {
  const doors = Array.from({ length: 100 }, (_, index): Door => door(`7000,${8000 + index},9000`));
  const engine = new Engine(doors, { seed: SEED });
  assert.equal(
    honestOpens(engine, CLIENT4, (index) => ipv4(word(index)), 2),
    2,
  );
});

test('An honest client gets in through a table that is full', () => {
  const engine = new Engine([door('7000,8000,9000', { window: 60_000 })], {
    seed: SEED,
    capacity: 6000,
    perPrefix: 6000,
  });
  assert.equal(
    honestOpens(engine, CLIENT4, (index) => ipv4(word(index))),
    10,
  );
  assert.ok(engine.size > 5990);
  assert.ok(engine.counters.evicted > 50_000);
});

test('A prefix that is full evicts its own and nobody else', () => {
  const engine = new Engine([door('7000,8000,9000')], { seed: SEED, capacity: 10_000, perPrefix: 50 });
  engine.setLocalAddresses([LOCAL]);
  engine.packet(packet(CLIENT4, 7000), 0);
  for (let index = 0; index < 5000; index += 1) {
    engine.packet(packet({ ...CLIENT6, b: CLIENT6.b ^ (index & 255), d: index }, 7000), 1);
  }
  assert.equal(engine.size, 51);
  assert.equal(engine.counters.evicted, 4950);
  engine.packet(packet(CLIENT4, 8000), 2);
  assert.deepEqual(engine.packet(packet(CLIENT4, 9000), 3).at(-1)?.type, 'opened');
});

test('A prefix is a /24 of IPv4 and a /56 of IPv6', () => {
  const pairs = [
    ['198.51.100.2', '198.51.100.255', true],
    ['198.51.100.2', '198.51.101.2', false],
    ['2001:db8:1:200::1', '2001:db8:1:2ff:ffff::2', true],
    ['2001:db8:1:200::1', '2001:db8:1:300::1', false],
  ] as const;
  for (const [one, other, together] of pairs) {
    const engine = new Engine([door('7000,8000')], { seed: SEED, capacity: 10_000, perPrefix: 1 });
    engine.setLocalAddresses([LOCAL]);
    engine.packet(packet(address(one), 7000), 0);
    engine.packet(packet(address(other), 7000), 0);
    assert.equal(engine.size, together ? 1 : 2, `${one} and ${other}`);
  }
});

test('A source that sends first steps of every door over and over holds no more than its candidates', () => {
  const doors = ['1,2,3', '1,1,1,4', '2,1'].map((sequence) => door(sequence));
  const engine = new Engine(doors, { seed: SEED });
  engine.setLocalAddresses([LOCAL]);
  for (let index = 0; index < 10_000; index += 1) {
    engine.packet(packet(CLIENT4, 1 + ((word(index) >>> 9) % 3)), index / 100);
    assert.ok(engine.size <= doors.length * 4);
  }
});

test('An eviction is told from stage 2 on', () => {
  const engine = new Engine([door('7000,8000,9000')], { seed: SEED, capacity: 1, perPrefix: 16 });
  engine.setLocalAddresses([LOCAL]);
  const [one, two] = [address('198.51.100.2'), address('203.0.113.2')];
  engine.packet(packet(one, 7000), 0);
  engine.packet(packet(one, 8000), 0);
  assert.deepEqual(
    engine.packet(packet(two, 7000), 0).map((event) => ('reason' in event ? event.reason : event.type)),
    ['advanced', 'evicted'],
  );
  assert.deepEqual(
    engine.packet(packet(one, 7000), 0).map((event) => event.type),
    ['advanced'],
  );
  assert.equal(engine.counters.evicted, 2);
});

test('A flood of a million sources costs no memory beyond what was reserved', () => {
  const engine = new Engine([door('7000,8000,9000')], { seed: SEED, capacity: 50_000 });
  engine.setLocalAddresses([LOCAL]);
  const flood = (from: number, to: number): number => {
    for (let index = from; index < to; index += 1) engine.packet(packet(ipv4(word(index)), 7000), 0);
    return process.memoryUsage().arrayBuffers;
  };
  const full = flood(0, 60_000);
  assert.equal(flood(60_000, 1_000_000), full);
  assert.equal(engine.size, 50_000);
});

test('A million attempts that end at once are told of ten thousand times', () => {
  const engine = new Engine([door('7000,8000,9000')], { seed: SEED, perPrefix: 1_000_000 });
  engine.setLocalAddresses([LOCAL]);
  for (let index = 0; index < 100_000; index += 1) engine.packet(packet(ipv4(word(index)), 7000), 0);
  engine.packet(packet(CLIENT6, 7000), 0);
  engine.packet(packet(CLIENT6, 8000), 0);
  const events = engine.expire(5000);
  assert.equal(events.length, 10_001);
  assert.ok(events.some((event) => event.type === 'expired' && event.stage === 2));
  assert.equal(engine.counters.expired, engine.counters.started);
  assert.equal(engine.size, 0);
});

test('Chains and records survive years of coming and going', () => {
  const engine = new Engine([door('7000,8000,9000'), door('7000,9000')], { seed: SEED, capacity: 500, perPrefix: 40 });
  engine.setLocalAddresses([LOCAL]);
  for (let index = 0; index < 200_000; index += 1) {
    const source = ipv4(0x0a000000 + ((word(index) >>> 5) % 2000));
    engine.packet(packet(source, [7000, 7000, 8000, 9000, 1, 2, 3][(word(index) >>> 20) % 7]!), index / 10);
    if (index % 97 === 0) engine.expire(index / 10);
    assert.ok(engine.size <= 500);
  }
  engine.expire(1e9);
  assert.equal(engine.size, 0);
});
