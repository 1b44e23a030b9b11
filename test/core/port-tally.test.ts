/** How many different ports a source touched: exact while there is room, never too high. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ipv4 } from '../../src/core/address.ts';
import { keyedHash } from '../../src/core/keyed-hash.ts';
import { PortTally } from '../../src/core/port-tally.ts';

const IDLE = 600_000;

function scene() {
  const tally = new PortTally();
  const note = (who: number, port: number, rest: { udp?: true; isNew?: boolean; now?: number; hash?: number } = {}) =>
    tally.note(
      rest.hash ?? keyedHash([1, 2], 0, 0, 0xffff, who),
      ipv4(who),
      { protocol: rest.udp ? 'udp' : 'tcp', port },
      rest.isNew ?? false,
      rest.now ?? 0,
    );
  return { note };
}

describe('the tally of ports', () => {
  test('counts every port of both protocols once, up to all of them', () => {
    const { note } = scene();
    for (let port = 0; port <= 65_535; port += 1) assert.equal(note(1, port), port + 1);
    assert.equal(note(1, 22), 65_536);
    assert.equal(note(1, 22, { udp: true }), 65_537);
    for (const port of [0, 31, 32, 65_535]) note(1, port, { udp: true });
    assert.equal(note(1, 65_535, { udp: true }), 65_541);
    assert.equal(note(2, 22), 1);
  });

  test('of up to 128 sources is exact for each; more than that never count too high, nor backwards', () => {
    const { note } = scene();
    for (let port = 1; port <= 100; port += 1) {
      for (let who = 1; who <= 128; who += 1) assert.equal(note(who, port), port);
    }
    for (let who = 1000; who < 1200; who += 1) for (let port = 1; port <= 20; port += 1) note(who, port, { now: 1 });
    const again = note(1, 7, { now: 2 });
    assert.equal(again, 100, 'who lost his map keeps his number');
    let count = 0;
    for (let port = 1; port <= 200; port += 1) count = note(1, port, { now: 2 });
    assert.equal(count, 200);
  });

  test('the map that was touched longest ago changes hands, whoever has it', () => {
    for (const oldest of [1, 2, 64, 128]) {
      const { note } = scene();
      for (let who = 1; who <= 128; who += 1)
        for (let port = 1; port <= 20; port += 1) note(who, port, { now: who === oldest ? 0 : who });
      for (let port = 1; port <= 20; port += 1) note(200, port, { now: 200 });
      for (const who of [200, 1, 2, 3, 64, 128]) {
        // Whoever has lost it counts anew, from nothing, and says what he had until he has more.
        const more = [101, 102, 103].map((port) => note(who, port, { now: 300 }));
        assert.deepEqual(more, who === oldest ? [20, 20, 20] : [21, 22, 23], `${who} of ${oldest}`);
      }
    }
  });

  test('gives a place in a full set to who comes again, at the cost of who touched the fewest, or was idle', () => {
    const { note } = scene();
    const inSet = (who: number, port: number, rest: object = {}) => note(who, port, { hash: 7, ...rest });
    for (const who of [1, 2, 3, 4]) for (let port = 1; port <= 5 + who; port += 1) inSet(who, port);
    for (const port of [1, 2]) assert.equal(inSet(5, port, { isNew: true }), 1, 'no place');
    assert.equal(inSet(2, 1), 7);
    for (const port of [1, 2]) assert.equal(inSet(5, port), port);
    assert.deepEqual([inSet(2, 1), inSet(4, 1)], [7, 9]);
    // The first has gone; it takes the place of the fifth, who has the fewest.
    assert.equal(inSet(1, 1), 1);
    for (const who of [1, 2, 3]) inSet(who, 1, { now: IDLE + 1 });
    assert.equal(inSet(6, 1, { isNew: true, now: IDLE + 1 }), 1);
    assert.equal(inSet(6, 2, { now: IDLE + 1 }), 2);
    assert.equal(inSet(4, 1, { isNew: true, now: IDLE + 1 }), 1, 'it was idle, and gave way');
    assert.equal(inSet(3, 1, { now: IDLE + 1 }), 8);
  });

  test('never says more than there were, whoever comes', () => {
    const act = fc.record({ who: fc.nat(2000), port: fc.nat(40), isNew: fc.boolean(), now: fc.nat(2 * IDLE) });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 500 }), (acts) => {
        const { note } = scene();
        const ports = new Map<number, Set<number>>();
        for (const { who, port, ...rest } of acts) {
          const mine = ports.get(who) ?? new Set();
          ports.set(who, mine.add(port));
          const count = note(who, port, rest);
          assert.ok(count >= 1 && count <= mine.size);
        }
      }),
    );
  });
});
