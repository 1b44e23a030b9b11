import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Address } from '../../src/core/address.ts';
import { ACK, type Door, FIN, RST, type Step, SYN } from '../../src/core/door.ts';
import { Engine } from '../../src/core/engine.ts';
import type { KnockEvent } from '../../src/core/events.ts';
import type { Packet } from '../../src/core/packet.ts';
import { address } from '../support/knocks.ts';
import { printEvent, ReferenceEngine } from '../support/reference-engine.ts';

const SOURCES = ['198.51.100.2', '198.51.100.3', '2001:db8::2'].map(address);
const DESTINATIONS = ['192.0.2.1', '192.0.2.2', '192.0.2.9'].map(address);

/** Picks the first value most of the time, so that packets meet and collide. */
function mostly<T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 10, arbitrary: fc.constant(usual) },
    { weight: others.length, arbitrary: fc.constantFrom(...others) },
  );
}

const protocol = mostly('tcp' as const, 'udp' as const);

const step: fc.Arbitrary<Step> = fc.record({ protocol, port: fc.integer({ min: 1, max: 4 }) });
const oneOfTwo: fc.Arbitrary<Step> = fc.record({
  protocol: fc.constant('tcp' as const),
  port: fc.integer({ min: 1, max: 2 }),
});

const door: fc.Arbitrary<Door> = fc
  .record({
    steps: fc.oneof(
      fc.array(step, { minLength: 1, maxLength: 6 }),
      fc.array(oneOfTwo, { minLength: 1, maxLength: 9, size: 'max' }),
    ),
    window: mostly(1000, 0, 5, 20, 50),
    strays: fc.integer({ min: 0, max: 3 }),
    tcpFlags: mostly({ set: SYN, clear: 0 }, { set: 0, clear: 0 }, { set: SYN, clear: ACK }, { set: FIN, clear: 0 }),
    target: mostly(undefined, ...DESTINATIONS),
  })
  .map(({ target, ...rest }) => ({ name: 'door', ...rest, ...(target && { target }) }));

type Action =
  | { readonly type: 'packet'; readonly packet: Packet; readonly pause: number }
  | { readonly type: 'expire'; readonly pause: number }
  | { readonly type: 'replace'; readonly index: number; readonly door: Door | undefined }
  | { readonly type: 'addresses'; readonly any: boolean }
  | { readonly type: 'public'; readonly ports: readonly number[] };

const pause = mostly(1, 0, 2, 5, -3, 10, 40, 0.3);

const packet: fc.Arbitrary<Packet> = fc
  .record({
    source: mostly(...(SOURCES as [Address, ...Address[]])),
    destination: mostly(...(DESTINATIONS as [Address, ...Address[]])),
    protocol,
    sourcePort: mostly(1, 2),
    destinationPort: fc.constantFrom(1, 1, 1, 2, 2, 2, 3, 3, 4, 5),
    flags: mostly(SYN, ACK, SYN | ACK, RST, FIN, 0),
    sequence: fc.integer({ min: -2, max: 60 }),
    length: fc.constant(40),
  })
  .map((fields) => (fields.protocol === 'udp' ? { ...fields, flags: 0, sequence: 0 } : fields));

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 100, arbitrary: fc.record({ type: fc.constant('packet' as const), packet, pause }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant('expire' as const), pause }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('replace' as const),
      index: fc.integer({ min: 0, max: 3 }),
      door: fc.option(door, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('addresses' as const), any: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('public' as const),
      ports: fc.subarray([1, 2, 3, 4, 5]),
    }),
  },
);

const actionsOf = fc.array(action, { minLength: 20, maxLength: 100, size: 'max' });

function run(
  doors: readonly Door[],
  engine: Engine | ReferenceEngine,
  actions: readonly Action[],
  look: (events: readonly KnockEvent[], index: number) => void,
): number {
  let now = 1000;
  engine.setLocalAddresses(DESTINATIONS.slice(0, 2));
  for (const [index, action] of actions.entries()) {
    switch (action.type) {
      case 'packet':
        now += action.pause;
        look(engine.packet(action.packet, now), index);
        break;
      case 'expire':
        now += action.pause;
        look(engine.expire(now), index);
        break;
      case 'replace':
        engine.replaceDoor(action.index % doors.length, action.door);
        break;
      case 'addresses':
        engine.setLocalAddresses(action.any ? 'any' : DESTINATIONS.slice(0, 2));
        break;
      case 'public':
        engine.setPublicPorts(action.ports);
        break;
    }
  }
  return now;
}

function transcript(doors: readonly Door[], engine: Engine | ReferenceEngine, actions: readonly Action[]): string[] {
  const lines: string[] = [];
  run(doors, engine, actions, (events, index) => {
    for (const event of events)
      lines.push(
        `${index} ${printEvent(
          event,
          doors.map((_, at) => ({ name: `${at}` })),
        )}`,
      );
    lines.push(`${index} size ${engine.size} deadline ${engine.nextDeadline()}`);
  });
  lines.push(JSON.stringify(engine.counters));
  return lines;
}

const doorsOf = fc.array(door, { minLength: 1, maxLength: 4 });

test('Engine tells what the reference model tells, event by event and count by count', () => {
  fc.assert(
    fc.property(
      doorsOf,
      actionsOf,
      fc.tuple(fc.integer(), fc.integer()),
      fc.constantFrom(1, 2, 3, 6, 1000),
      (doors, actions, seed, capacity) => {
        const engine = new Engine(doors, { seed, capacity, perPrefix: 1000 });
        const reference = new ReferenceEngine(doors, { capacity });
        assert.deepEqual(transcript(doors, engine, actions), transcript(doors, reference, actions));
      },
    ),
    { numRuns: 4000 },
  );
});

test('Engine never holds more than its capacity, nor a source more than its candidates at every door', () => {
  fc.assert(
    fc.property(doorsOf, actionsOf, fc.integer({ min: 1, max: 5 }), (doors, actions, capacity) => {
      const bounded = new Engine(doors, { seed: [1, 2], capacity, perPrefix: 3 });
      run(doors, bounded, actions, () => assert.ok(bounded.size <= capacity));
      const roomy = new Engine(doors, { seed: [1, 2], capacity: 1000, perPrefix: 1000 });
      // At most nine steps here: eight candidates and a remembered opening at every door.
      run(doors, roomy, actions, () => assert.ok(roomy.size <= SOURCES.length * doors.length * 9));
    }),
    { numRuns: 500 },
  );
});

test('Engine accounts for every packet and every attempt', () => {
  fc.assert(
    fc.property(doorsOf, actionsOf, (doors, actions) => {
      const engine = new Engine(doors, { seed: [1, 2], capacity: 8, perPrefix: 4 });
      run(doors, engine, actions, () => {});
      engine.expire(Number.POSITIVE_INFINITY);
      const { packets, foreign, matched, repeats, strays, ignored, started, ...ends } = engine.counters;
      assert.equal(packets, foreign + matched + repeats + strays + ignored);
      assert.equal(started, ends.opened + ends.expired + ends.failed + ends.evicted + ends.merged + ends.forgotten);
      assert.equal(engine.size, 0);
      assert.equal(engine.nextDeadline(), undefined);
    }),
    { numRuns: 500 },
  );
});

test('Whatever came before, a complete knock opens', () => {
  fc.assert(
    fc.property(doorsOf, actionsOf, fc.nat(), (doors, actions, choice) => {
      const engine = new Engine(doors, { seed: [3, 4], capacity: 1000, perPrefix: 1000 });
      const now = run(doors, engine, actions, () => {});
      const index = choice % doors.length;
      // As it stands now: an action may have replaced it.
      const replaced = actions.findLast((a) => a.type === 'replace' && a.index % doors.length === index);
      const knocked = replaced?.type === 'replace' ? replaced.door : doors[index];
      if (!knocked || (knocked.window <= 0 && knocked.steps.length > 1)) return;
      engine.setLocalAddresses(DESTINATIONS);
      const opened = knocked.steps.some((step, place) =>
        engine
          .packet(
            {
              source: SOURCES[0]!,
              destination: knocked.target ?? DESTINATIONS[0]!,
              protocol: step.protocol,
              sourcePort: 5000 + place,
              destinationPort: step.port,
              flags: step.protocol === 'udp' ? 0 : knocked.tcpFlags.set,
              sequence: step.protocol === 'udp' ? 0 : 1_000_000 + place,
              length: 40,
            },
            now,
          )
          .some((event) => event.type === 'opened' && event.door === index),
      );
      assert.ok(opened);
    }),
    { numRuns: 3000 },
  );
});
