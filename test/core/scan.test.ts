/**
 * A sweep over all 65,535 ports opens nothing, whatever its order, and whether or not each packet comes twice. Sequences of
 * neighbouring ports are excepted: a sweep in their order is their knock.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Door } from '../../src/core/door.ts';
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
