import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address } from '../../src/core/address.ts';
import { ACK, type Door } from '../../src/core/door.ts';
import { Engine } from '../../src/core/engine.ts';
import type { KnockEvent } from '../../src/core/events.ts';
import type { Packet } from '../../src/core/packet.ts';
import { address, CLIENT, door, LOCAL, packet } from '../support/knocks.ts';
import { printEvent } from '../support/reference-engine.ts';

const OTHER = address('198.51.100.3');

function engineOf(...doors: readonly Door[]): Engine {
  const engine = new Engine(doors, { seed: [1, 2], capacity: 1000 });
  engine.setLocalAddresses([LOCAL]);
  return engine;
}

/** Sends one packet to each port, 10 ms apart, and returns what was told, without the source. */
function knock(engine: Engine, ports: readonly number[], from = 0, source: Address = CLIENT): string[] {
  return ports.flatMap((port, index) => tell(engine.packet(packet(source, port), from + index * 10)));
}

function tell(events: readonly KnockEvent[]): string[] {
  return events.map((event) => printEvent(event, NAMES).replace(/^\S+ /, ''));
}

const NAMES = ['A', 'B', 'C', 'D'].map((name) => ({ name }));

test('Engine.packet() opens a door after its steps in order', () => {
  const engine = engineOf(door('7000,8000,9000'));
  assert.deepEqual(knock(engine, [7000, 8000, 9000]), ['A stage 1', 'A stage 2', 'A stage 3', 'A opened']);
  assert.equal(engine.size, 0);
});

test('Engine.packet() names the source in each event', () => {
  const engine = engineOf(door('7000,8000'));
  const source = address('2001:db8::77');
  assert.deepEqual(engine.packet(packet(source, 7000), 0), [{ type: 'advanced', door: 0, source, stage: 1 }]);
  assert.deepEqual(engine.expire(5000), [{ type: 'expired', door: 0, source, stage: 1 }]);
});

test('Engine.packet() returns one shared empty array when nothing happens', () => {
  const engine = engineOf(door('7000,8000,9000'));
  const nothing = engine.packet(packet(CLIENT, 1), 0);
  engine.packet(packet(CLIENT, 7000), 1);
  assert.equal(nothing.length, 0);
  assert.equal(engine.packet(packet(CLIENT, 7000, { destination: OTHER }), 1), nothing);
  assert.equal(engine.packet(packet(CLIENT, 1), 1), nothing);
  assert.equal(engine.expire(2), nothing);
});

test('Engine.packet() hears nothing before it is told which addresses are local', () => {
  const engine = new Engine([door('7000')], { seed: [1, 2], capacity: 1000 });
  assert.deepEqual(knock(engine, [7000]), []);
  assert.equal(engine.counters.foreign, 1);
});

test('Engine.setLocalAddresses() may change while a knock is on its way', () => {
  const engine = engineOf(door('7000,8000'));
  const moved = address('192.0.2.77');
  engine.packet(packet(CLIENT, 7000), 0);
  assert.deepEqual(engine.packet(packet(CLIENT, 8000, { destination: moved }), 1), []);
  engine.setLocalAddresses([moved]);
  assert.deepEqual(engine.packet(packet(CLIENT, 8000), 2), []);
  assert.deepEqual(tell(engine.packet(packet(CLIENT, 8000, { destination: moved }), 3)), ['A stage 2', 'A opened']);
});

test("Engine.setLocalAddresses('any') takes every destination for local", () => {
  const engine = engineOf(door('7000'));
  engine.setLocalAddresses('any');
  assert.deepEqual(tell(engine.packet(packet(CLIENT, 7000, { destination: OTHER }), 0)), ['A stage 1', 'A opened']);
});

test('Engine.expire() ends an attempt when its window is over, and not a moment before', () => {
  const engine = engineOf(door('7000,8000,9000', { window: 0.3 }));
  knock(engine, [7000], 0.1);
  assert.deepEqual(engine.expire(0.39), []);
  assert.deepEqual(tell(engine.expire(engine.nextDeadline()!)), ['A expired at stage 1']);
  assert.equal(engine.nextDeadline(), undefined);
});

test('Engine.nextDeadline() is that of the attempt that runs out first, whichever began first', () => {
  const engine = engineOf(door('1,2', { window: 5000 }), door('3,4', { window: 100, strays: 9 }));
  assert.equal(engine.nextDeadline(), undefined);
  engine.packet(packet(CLIENT, 1), 1000);
  assert.equal(engine.nextDeadline(), 6000);
  engine.packet(packet(OTHER, 3), 2000);
  assert.equal(engine.nextDeadline(), 2100);
  engine.packet(packet(OTHER, 3), 2050);
  assert.equal(engine.nextDeadline(), 2150);
  engine.expire(2150);
  assert.equal(engine.nextDeadline(), 6000);
});

test('Engine.packet() does not advance an attempt whose window is over, and tells so', () => {
  const engine = engineOf(door('7000,8000'));
  engine.packet(packet(CLIENT, 7000), 0);
  assert.deepEqual(tell(engine.packet(packet(CLIENT, 8000), 5000)), ['A expired at stage 1']);
  assert.deepEqual(engine.expire(6000), []);
});

test('Engine takes a clock that goes back to stand still', () => {
  const engine = engineOf(door('7000,8000'));
  engine.packet(packet(CLIENT, 1), 10_000);
  engine.packet(packet(CLIENT, 7000), 2000);
  assert.equal(engine.nextDeadline(), 15_000);
  assert.deepEqual(engine.expire(9000), []);
});

test('Engine.packet() never completes several steps in a window of nothing, and always a single one', () => {
  for (const window of [0, -1000]) {
    const engine = engineOf(door('7000,8000', { window }), door('7000', { window }));
    assert.deepEqual(knock(engine, [7000]), ['A stage 1', 'B stage 1', 'B opened']);
    assert.deepEqual(knock(engine, [8000]), ['A expired at stage 1']);
  }
});

test('Engine.packet() counts a retransmission, and knows it by port, source port and sequence number', () => {
  const engine = engineOf(door('7000,7000,8000'));
  const first = packet(CLIENT, 7000);
  const send = (changes: Partial<Packet>): string[] => tell(engine.packet({ ...first, ...changes }, 1));
  assert.deepEqual(send({}), ['A stage 1']);
  assert.deepEqual(send({}), []);
  assert.equal(engine.counters.repeats, 1);
  assert.deepEqual(send({ sequence: first.sequence + 1 }), ['A stage 2']);
  // Some senders use one source port and number for everything.
  assert.deepEqual(send({ sequence: first.sequence + 1, destinationPort: 8000 }), ['A stage 3', 'A opened']);
});

test('Engine.packet() opens to senders whose packets differ in nothing but the port, again and again', () => {
  const engine = engineOf(door('7000,8000,9000'));
  const sent = { sourcePort: 4000, sequence: 77 };
  for (let round = 0; round < 5; round += 1) {
    const events = [7000, 8000, 9000].flatMap((port) => tell(engine.packet(packet(CLIENT, port, sent), round)));
    assert.deepEqual(events, ['A stage 1', 'A stage 2', 'A stage 3', 'A opened']);
  }
});

test('Engine.packet() takes no packet with sequence number 0 for a retransmission', () => {
  // Scapy's TCP() is source port 20 and sequence number 0, every time.
  const sent = { sourcePort: 20, sequence: 0 };
  for (const sequence of ['7000,7000,7000', '7000', '7000,8000,7000']) {
    const engine = engineOf(door(sequence));
    for (let round = 0; round < 3; round += 1) {
      const ports = sequence.split(',').map(Number);
      const events = ports.flatMap((port) => tell(engine.packet(packet(CLIENT, port, sent), round)));
      assert.equal(events.at(-1), 'A opened');
    }
  }
});

test('Engine.packet() tells of a knock of the same step as knockd does', () => {
  const engine = engineOf(door('7000,7000,7000'));
  assert.deepEqual(knock(engine, [7000, 7000, 7000]), ['A stage 1', 'A stage 2', 'A stage 3', 'A opened']);
  knock(engine, [7000, 7000], 100);
  // A second candidate stands at stage 1, but nobody was told of it.
  assert.deepEqual(tell(engine.expire(10_000)), ['A expired at stage 2']);
  assert.equal(engine.size, 0);
});

test('Engine.packet() does not tell the last step of one door as the first of another', () => {
  const engine = engineOf(door('7000,8000'), door('8000,7000'), door('8000,9000'));
  assert.deepEqual(knock(engine, [7000, 8000]), ['A stage 1', 'A stage 2', 'A opened']);
  // It counts all the same.
  assert.deepEqual(knock(engine, [9000], 100), ['C stage 2', 'C opened']);
  assert.deepEqual(tell(engine.expire(10_000)), []);
});

test('Engine.packet() tells of every door that a first step starts, in the order of the doors', () => {
  const engine = engineOf(door('7000,1'), door('8000,1'), door('7000'), door('7000,2'));
  assert.deepEqual(knock(engine, [7000]), ['A stage 1', 'C stage 1', 'C opened', 'D stage 1']);
});

test('Engine.packet() keeps sources, doors and candidates in order while they come and go', () => {
  const roomy = { strays: 9 };
  const doors = [door('1,5,6', roomy), door('2,5,7', roomy), door('3,5,8', roomy), door('4,5,9', roomy)];
  const engine = engineOf(...doors);
  for (const order of [
    [1, 2, 3, 4],
    [4, 3, 2, 1],
    [2, 4, 1, 3],
    [3, 1, 4, 2],
  ]) {
    knock(engine, order);
    assert.deepEqual(knock(engine, [5], 100), ['A stage 2', 'B stage 2', 'C stage 2', 'D stage 2']);
    assert.deepEqual(
      knock(engine, [7, 9, 6, 8], 200).filter((line) => line.endsWith('opened')),
      ['B opened', 'D opened', 'A opened', 'C opened'],
    );
    assert.equal(engine.size, 0);
  }
});

test('Engine.replaceDoor() forgets the stage another client has reached: the tail of the new sequence opens nothing', () => {
  // knockd finishes the new sequence of a client that was at stage 1 of the old one.
  const engine = engineOf(door('7000,8000,9000'));
  knock(engine, [7000], 0, OTHER);
  assert.deepEqual(knock(engine, [7000, 8000, 9000]).at(-1), 'A opened');
  engine.replaceDoor(0, door('7100,8100,9100'));
  assert.deepEqual(knock(engine, [8100, 9100], 100, OTHER), []);
  assert.deepEqual(knock(engine, [7000, 8000, 9000], 200), []);
  assert.deepEqual(knock(engine, [7100, 8100, 9100], 300).at(-1), 'A opened');
});

test('Engine.replaceDoor() forgets who has just opened: the tail of a longer sequence opens nothing', () => {
  // knockd keeps the finished attempt at stage n, which is in the middle of the new sequence.
  for (const used of ['7000', '7000,8000', '7000,8000,7000']) {
    const engine = engineOf(door(used));
    knock(engine, used.split(',').map(Number));
    engine.replaceDoor(0, door(`${used},9000`));
    assert.equal(engine.size, 0);
    assert.deepEqual(knock(engine, [9000], 100), []);
    assert.deepEqual(knock(engine, [...used.split(',').map(Number), 9000], 200).at(-1), 'A opened');
  }
});

test('Engine.replaceDoor() leaves the other doors alone, and counts what it forgot', () => {
  const engine = engineOf(door('1,2'), door('1,3'));
  knock(engine, [1]);
  engine.replaceDoor(0, door('5,6'));
  assert.equal(engine.counters.forgotten, 1);
  assert.deepEqual(knock(engine, [3], 100), ['B stage 2', 'B opened']);
});

test('Engine.replaceDoor() without a door shuts it, until there is one again', () => {
  for (const shut of [undefined, door('1', { steps: [], target: OTHER })]) {
    const engine = engineOf(door('1,2', { target: OTHER }), door('3:udp,4'));
    knock(engine, [3]);
    engine.replaceDoor(0, shut);
    engine.replaceDoor(1, shut);
    engine.packet(packet(CLIENT, 1, { destination: OTHER }), 50);
    assert.equal(engine.counters.foreign, 1, 'its target is nobody any more');
    assert.deepEqual(knock(engine, [1, 2, 3, 4], 100), []);
    assert.deepEqual(engine.expire(1e9), []);
    engine.replaceDoor(0, door('1,2'));
    assert.deepEqual(knock(engine, [1, 2], 1e9), ['A stage 1', 'A stage 2', 'A opened']);
  }
});

test('Engine leaves a door without steps shut, and opens the others', () => {
  const engine = engineOf(door('1', { steps: [], target: OTHER }), door('1,2'));
  assert.deepEqual(knock(engine, [0, 1, 2]), ['B stage 1', 'B stage 2', 'B opened']);
  assert.equal(engine.nextDeadline(), undefined);
});

test('Engine refuses doors of more than 32 steps, and to replace one it does not have', () => {
  assert.throws(() => engineOf(door(new Array(33).fill('1').join())), RangeError);
  assert.throws(() => engineOf(door('1')).replaceDoor(1, door('1')), RangeError);
});

test('Engine.packet() opens 32 times the same step, the longest knock there is', () => {
  const engine = engineOf(door(new Array(32).fill('7000').join()));
  for (let round = 0; round < 3; round += 1) {
    const lines = knock(engine, new Array(32).fill(7000), round * 1000);
    assert.equal(lines.length, 33);
    assert.equal(lines.at(-1), 'A opened');
  }
  knock(engine, new Array(31).fill(7000), 4000);
  // All 31 that one run begins, and the opening before it.
  assert.equal(engine.size, 32);
});

test('Engine holds four candidates of a plain sequence, and lets the eldest go', () => {
  const engine = engineOf(door('1,2,3,4,5,6,7'));
  const lines = [
    [1, 2, 3, 4, 5, 6],
    [1, 2, 3, 4, 5],
    [1, 2, 3, 4],
    [1, 2, 3],
  ].flatMap((ports, round) => knock(engine, ports, round * 100));
  assert.ok(lines.every((line) => line.includes('stage')));
  assert.equal(engine.size, 4);
  assert.deepEqual(knock(engine, [1], 500), ['A stage 1', 'A failed at stage 6: evicted']);
  assert.equal(engine.size, 4);
  assert.deepEqual(knock(engine, [2, 3, 4, 5, 6, 7], 600).at(-1), 'A opened');
  assert.equal(engine.size, 0);
});

test('Engine.counters tell what became of each packet', () => {
  const engine = engineOf(door('7000,8000,9000'));
  const first = packet(CLIENT, 7000);
  engine.packet(first, 0); // matched
  engine.packet(first, 1); // repeat
  engine.packet(packet(CLIENT, 1), 2); // stray
  engine.packet(packet(CLIENT, 1, { flags: ACK }), 3); // ignored
  engine.packet(packet(OTHER, 1), 3); // ignored
  engine.packet(packet(CLIENT, 8000, { destination: OTHER }), 4); // foreign
  engine.packet(packet(CLIENT, 7000), 5); // matched: begins anew
  assert.deepEqual(engine.counters, {
    packets: 7,
    foreign: 1,
    matched: 2,
    repeats: 1,
    strays: 1,
    ignored: 2,
    started: 1,
    restarted: 1,
    opened: 0,
    expired: 0,
    failed: 0,
    evicted: 0,
    merged: 0,
    forgotten: 0,
  });
});

test('Engine tells the same whatever its seed', () => {
  const script = Array.from({ length: 3000 }, (_, index) => ({
    source: { ...CLIENT, d: CLIENT.d + ((index * 7919) % 50) },
    port: 1 + ((index * 104_729) % 5),
  }));
  const play = (seed: readonly [number, number]): string[] => {
    const engine = new Engine([door('1,2,3'), door('2,3,4'), door('1,1')], { seed, capacity: 1000 });
    engine.setLocalAddresses([LOCAL]);
    return script.flatMap(({ source, port }, time) =>
      engine.packet(packet(source, port), time).map((event) => printEvent(event, NAMES)),
    );
  };
  assert.deepEqual(play([1, 2]), play([-3, 0x7fffffff]));
});

test("A connection to a public port is nobody's stray", () => {
  const engine = engineOf(door('7000,8000,9000', { strays: 0 }));
  engine.setPublicPorts([22, 443, 65_535]);
  assert.deepEqual(knock(engine, [7000, 22, 443, 65_535, 8000, 22, 9000]).at(-1), 'A opened');
  assert.deepEqual(knock(engine, [7000, 23], 100).at(-1), 'A failed at stage 1: strays');
  engine.setPublicPorts([]);
  assert.deepEqual(knock(engine, [7000, 22], 200).at(-1), 'A failed at stage 1: strays');
});

test('A public port that is a step of some door is a step, and a stray to the others', () => {
  const engine = engineOf(door('7000,22', { strays: 0 }), door('7000,8000', { name: 'B', strays: 0 }));
  engine.setPublicPorts([22]);
  assert.deepEqual(knock(engine, [7000, 22]).slice(-2), ['A opened', 'B failed at stage 1: strays']);
});
