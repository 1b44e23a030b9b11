/**
 * A sweep over all 65,535 TCP ports opens nothing, whatever its order, and whether or not each packet comes twice. Excepted are sequences
 * of neighbouring ports: a sweep in their order is their knock. And UDP has no strays but at steps: steps of UDP alone fall to a sweep of
 * UDP ports in their order, those that `postern init` makes to none.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSequence } from '../../src/config/generated-sequence.ts';
import { type Door, type Protocol, printSteps } from '../../src/core/door.ts';
import { Engine } from '../../src/core/engine.ts';
import { address, door, LOCAL, packet } from '../support/knocks.ts';

const PORTS = 65_535;
const SCANNER = address('198.51.100.66');
const DOUBLED = 2;

/** mulberry32: small, seeded, good enough to shuffle with. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled(seed: number): Uint16Array {
  const next = random(seed);
  const ports = Uint16Array.from({ length: PORTS }, (_, index) => index + 1);
  for (let index = PORTS - 1; index > 0; index -= 1) {
    const other = Math.floor(next() * (index + 1));
    [ports[index], ports[other]] = [ports[other]!, ports[index]!];
  }
  return ports;
}

/** Three ports, no two of them within three of each other. */
function sequence(next: () => number): string {
  for (;;) {
    const ports = [next(), next(), next()].map((value) => 1 + Math.floor(value * PORTS));
    const apart = ports.every((port, index) => ports.every((other, at) => at === index || Math.abs(port - other) > 3));
    if (apart) return ports.join(',');
  }
}

/** The doors of the documentation, in both of knockd's notations of flags, and twenty generated ones; strict and lenient. */
function doors(): Door[] {
  const next = random(1);
  const generated = Array.from({ length: 20 }, () => sequence(next));
  const strict = { strays: 0 };
  const anyFlags = { tcpFlags: { set: 0, clear: 0 } };
  const all = ['7000,8000,9000', '9000,8000,7000', '12345,54321,24680,13579', ...generated];
  return [
    ...all.map((text) => door(text)),
    door('7000,8000,9000', strict),
    door('7000,8000,9000', { ...strict, ...anyFlags }),
    door('7000,8000,9000', { ...anyFlags, window: 1e9 }),
  ];
}

function opensDuring(sweeps: Iterable<Uint16Array>, copies: number): number {
  const engine = new Engine(doors(), { seed: [1, 2] });
  engine.setLocalAddresses([LOCAL]);
  const probe = { ...packet(SCANNER, 0) };
  let opened = 0;
  let now = 0;
  for (const ports of sweeps) {
    for (const port of ports) {
      probe.destinationPort = port;
      now += 0.01;
      for (let copy = 0; copy < copies; copy += 1) {
        // nmap's second try comes from another source port.
        probe.sourcePort = 40_000 + copy;
        for (const event of engine.packet(probe, now)) if (event.type === 'opened') opened += 1;
      }
    }
  }
  assert.ok(engine.counters.started > 0);
  return opened;
}

function* randomSweeps(from: number, to: number): Iterable<Uint16Array> {
  for (let seed = from; seed < to; seed += 1) yield shuffled(seed);
}

const ascending = Uint16Array.from({ length: PORTS }, (_, index) => index + 1);

for (const copies of [1, DOUBLED]) {
  const how = copies === 1 ? 'once' : 'twice';

  test(`An ascending sweep that probes each port ${how} opens no door`, () => {
    assert.equal(opensDuring([ascending, ascending], copies), 0);
  });

  test(`A descending sweep that probes each port ${how} opens no door`, () => {
    assert.equal(opensDuring([ascending.toReversed(), ascending.toReversed()], copies), 0);
  });

  test(`150 sweeps in random order that probe each port ${how} open no door`, () => {
    assert.equal(opensDuring(randomSweeps(copies * 1000, copies * 1000 + 150), copies), 0);
  });
}

test('An ascending and a descending sweep, packet by packet in turn, open no door', () => {
  const both = new Uint16Array(PORTS * 2);
  for (let index = 0; index < PORTS; index += 1) {
    both[2 * index] = index + 1;
    both[2 * index + 1] = PORTS - index;
  }
  assert.equal(opensDuring([both], 1), 0);
});

test('A sweep from many addresses opens no door', () => {
  const engine = new Engine(doors(), { seed: [1, 2] });
  engine.setLocalAddresses([LOCAL]);
  const probe = { ...packet(SCANNER, 0) };
  let opened = 0;
  for (const [index, port] of shuffled(99).entries()) {
    probe.destinationPort = port;
    probe.source = { ...SCANNER, d: SCANNER.d ^ (index & 15) };
    opened += engine.packet(probe, index / 100).filter((event) => event.type === 'opened').length;
  }
  assert.equal(opened, 0);
});

/** How often a knock opens in a sweep over these ports, of one protocol after the other. */
function openings(
  sequence: string,
  protocols: readonly Protocol[],
  order: (ports: Uint16Array) => Uint16Array,
): number {
  const own = door(sequence, { window: 1e9 });
  // Some ports around each step are as many strays as it takes.
  const near = own.steps.flatMap(({ port }) => [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((by) => port + by));
  const ports = order(Uint16Array.from(new Set(near)).sort());
  const engine = new Engine([own], { seed: [1, 2] });
  engine.setLocalAddresses([LOCAL]);
  let opened = 0;
  let now = 0;
  for (const protocol of protocols) {
    for (const port of ports) {
      now += 1;
      const events = engine.packet(packet(SCANNER, port, { protocol }), now);
      opened += events.filter(({ type }) => type === 'opened').length;
    }
  }
  return opened;
}

const up = (ports: Uint16Array): Uint16Array => ports;
const down = (ports: Uint16Array): Uint16Array => ports.toReversed();

test('Steps of UDP alone in counting order fall to a sweep of UDP ports in that order, and to no other', () => {
  const counting = '1003:udp,1055:udp,1121:udp';
  assert.deepEqual([openings(counting, ['udp'], up), openings(counting, ['udp'], down)], [1, 0]);
  assert.deepEqual([openings(counting, ['tcp'], up), openings(counting, ['tcp'], down)], [0, 0]);
  const turning = '1055:udp,1003:udp,1121:udp';
  assert.deepEqual([openings(turning, ['udp'], up), openings(turning, ['udp'], down)], [0, 0]);
});

test('Neighbouring TCP ports in counting order fall to a sweep in that order', () => {
  assert.deepEqual([openings('1700,1701,1702', ['tcp'], up), openings('1700,1701,1702', ['tcp'], down)], [1, 0]);
});

test('A sweep of UDP ports in random order opens three UDP steps once in a while: a sixth of the orders are theirs', () => {
  const next = random(7);
  const mixed = (ports: Uint16Array): Uint16Array => {
    const keys = new Map([...ports].map((port) => [port, next()]));
    return Uint16Array.from([...ports].sort((x, y) => keys.get(x)! - keys.get(y)!));
  };
  let opened = 0;
  for (let sweep = 0; sweep < 600; sweep += 1) opened += openings('1055:udp,1003:udp,1121:udp', ['udp'], mixed);
  assert.ok(opened > 60 && opened < 150, String(opened));
});

test('Knocks as `postern init` makes them fall to no sweep that counts, of TCP, UDP, or one after the other', () => {
  const next = random(11);
  for (let round = 0; round < 200; round += 1) {
    const steps = generateSequence({ length: 6, isTaken: () => false, random: (below) => Math.floor(next() * below) });
    const sequence = printSteps(steps);
    for (const order of [up, down]) {
      for (const protocols of [['tcp'], ['udp'], ['tcp', 'udp'], ['udp', 'tcp']] as const) {
        assert.equal(openings(sequence, protocols, order), 0, sequence);
      }
    }
  }
});
