/** Every sequence that opens a door in knockd opens it here, during the same packets: even where knockd is helped out of its list bug. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ACK, type Door, FIN, RST, type Step, SYN } from '../../src/core/door.ts';
import { Engine } from '../../src/core/engine.ts';
import { address, packet } from '../support/knocks.ts';
import { ReferenceKnockd } from '../support/reference-knockd.ts';

const SOURCES = ['198.51.100.2', '198.51.100.3'].map(address);
const LOCAL = ['192.0.2.1', '192.0.2.2'].map(address);

const step: fc.Arbitrary<Step> = fc.record({
  protocol: fc.constantFrom('tcp' as const, 'tcp' as const, 'udp' as const),
  port: fc.integer({ min: 1, max: 3 }),
});

const door: fc.Arbitrary<Door> = fc
  .record({
    steps: fc.array(step, { minLength: 1, maxLength: 5 }),
    window: fc.constantFrom(1000, 2000, 25_000),
    tcpFlags: fc.constantFrom(
      { set: SYN, clear: 0 },
      { set: SYN, clear: 0 },
      { set: 0, clear: 0 },
      { set: FIN, clear: ACK },
    ),
    target: fc.constantFrom(undefined, undefined, LOCAL[1]),
  })
  .map(({ target, ...rest }) => ({ name: 'door', strays: 0, ...rest, ...(target && { target }) }));

const move = fc.record({
  pause: fc.constantFrom(1, 1, 1, 10, 300, 1500),
  source: fc.constantFrom(...SOURCES),
  destination: fc.constantFrom(...LOCAL),
  step: fc.oneof(step, fc.constant('next' as const), fc.constant('next' as const)),
  flags: fc.constantFrom(SYN, SYN, SYN, SYN, ACK, RST, FIN),
  door: fc.nat(),
});

for (const losesList of [true, false]) {
  test(`Engine opens whatever knockd ${losesList ? '' : 'without its list bug '}opens`, () => {
    let openings = 0;
    fc.assert(
      fc.property(
        fc.array(door, { minLength: 1, maxLength: 3 }),
        fc.array(move, { minLength: 10, maxLength: 60, size: 'max' }),
        (doors, moves) => {
          const engine = new Engine(doors, { seed: [5, 6], capacity: 1000, perPrefix: 1000 });
          engine.setLocalAddresses(LOCAL);
          const knockd = new ReferenceKnockd(doors, LOCAL, { losesList });
          const ours: { door: number; source: object; now: number }[] = [];
          const progress = new Map<string, number>();
          let now = 1000;
          for (const { pause, source, destination, step, flags, door } of moves) {
            now += pause;
            // Half of the packets go on with a sequence, or chance would hardly ever complete one.
            const wanted = doors[door % doors.length]!;
            const place = `${door % doors.length} ${source.d}`;
            const at = progress.get(place) ?? 0;
            if (step === 'next') progress.set(place, (at + 1) % wanted.steps.length);
            const { protocol, port } = step === 'next' ? wanted.steps[at]! : step;
            const sent = packet(source, port, {
              protocol,
              destination: step === 'next' && wanted.target ? wanted.target : destination,
              flags:
                protocol === 'udp' ? 0 : step === 'next' && wanted.tcpFlags.set !== 0 ? wanted.tcpFlags.set : flags,
            });
            // What knockd's filter hides from it may be a stray here.
            if (!knockd.sees(sent)) continue;
            for (const event of engine.packet(sent, now)) if (event.type === 'opened') ours.push({ ...event, now });
            for (const opening of knockd.packet(sent, now)) {
              openings += 1;
              const end = now;
              const found = ours.some(
                (event) =>
                  doors[event.door] === opening.door &&
                  event.source === opening.source &&
                  event.now >= opening.start &&
                  event.now <= end,
              );
              assert.ok(found, 'knockd opened and the engine did not');
            }
          }
        },
      ),
      { numRuns: 3000 },
    );
    assert.ok(openings > 1000, `only ${openings} openings`);
  });
}
