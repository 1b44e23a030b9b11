/** When the attempts of one prefix are too many, who has gone longest without progress gives way, and nobody of another prefix. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printAddress } from '../../src/core/address.ts';
import { Engine } from '../../src/core/engine.ts';
import { address, door, LOCAL, packet } from '../support/knocks.ts';

function engineOf(perPrefix: number): Engine {
  const engine = new Engine([door('7000,8000,9000')], { seed: [1, 2], capacity: 1000, perPrefix });
  engine.setLocalAddresses([LOCAL]);
  return engine;
}

/** Who still opens with the steps that are left. */
function goOn(engine: Engine, sources: readonly string[], steps: readonly number[], now: number): readonly string[] {
  return sources.filter((source) =>
    steps.some((port) => engine.packet(packet(address(source), port), now).some(({ type }) => type === 'opened')),
  );
}

for (const [family, first, second, third, elsewhere] of [
  ['IPv4', '198.51.100.2', '198.51.100.3', '198.51.100.255', '198.51.101.2'],
  ['IPv6', '2001:db8::2', '2001:db8:0:ff::3', '2001:db8:0:1::', '2001:db8:0:100::2'],
] as const) {
  test(`of ${family}, progress counts and not age`, () => {
    const engine = engineOf(2);
    engine.packet(packet(address(first), 7000), 0);
    engine.packet(packet(address(second), 7000), 1);
    engine.packet(packet(address(elsewhere), 7000), 2);
    // The elder goes on: now the younger one has gone longest without progress.
    engine.packet(packet(address(first), 8000), 3);
    engine.packet(packet(address(third), 7000), 4);
    assert.equal(engine.size, 3);
    assert.deepEqual(goOn(engine, [first], [9000], 5), [first]);
    assert.deepEqual(goOn(engine, [second, third, elsewhere], [8000, 9000], 6), [third, elsewhere]);
  });

  test(`of ${family}, beginning anew is progress, too`, () => {
    const engine = engineOf(2);
    engine.packet(packet(address(first), 7000), 0);
    engine.packet(packet(address(second), 7000), 1);
    engine.packet(packet(address(first), 7000), 2);
    const events = engine.packet(packet(address(third), 7000), 3);
    assert.deepEqual(
      events.map((event) => `${event.type} ${printAddress(event.source)}`),
      [`advanced ${third}`],
    );
    assert.deepEqual(goOn(engine, [first, second, third], [8000, 9000], 4), [first, third]);
  });
}
