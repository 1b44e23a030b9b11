/**
 * Engine, keeper, grants, bans and clock together, against a reference that says who is in and until when: random packets, openings and closings by
 * hand, bans, reloads, deaths of either half, flushes, clocks that are set, a firewall that refuses or takes its time.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Address, printAddress } from '../../src/core/address.ts';
import { ACK, type Door, SYN } from '../../src/core/door.ts';
import type { Packet } from '../../src/core/packet.ts';
import type { DoorPolicy } from '../../src/core/policy.ts';
import { address } from '../support/knocks.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { ModelDaemon, type ModelWorld, openModelState } from '../support/model-daemon.ts';
import { PretendedFirewall } from '../support/pretended-firewall.ts';
import { ReferenceDaemon } from '../support/reference-daemon.ts';

const LOCAL = address('192.0.2.1');
/** The last two are in one network of 64 bits. */
const SOURCES = ['198.51.100.2', '198.51.100.3', '2001:db8::2', '2001:db8::3'].map(address);
const networkOf = (source: string): string => (source.includes(':') ? '2001:db8::' : source);
const LONGEST = 5000;
const RUNS = Number(process.env.MODEL_RUNS ?? 1000);

const source = fc.constantFrom(...SOURCES);
const mostly = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(usual, ...others) });

const knock = (name: string): fc.Arbitrary<Door> =>
  fc.record({
    name: fc.constant(name),
    steps: fc.array(
      fc.record({ protocol: mostly('tcp' as const, 'udp' as const), port: fc.integer({ min: 1, max: 3 }) }),
      { minLength: 1, maxLength: 3 },
    ),
    window: mostly(500, 20),
    strays: fc.integer({ min: 0, max: 2 }),
    tcpFlags: fc.constant({ set: SYN, clear: ACK }),
  });

const policy = (name: string, port: number): fc.Arbitrary<DoorPolicy> =>
  fc
    .record({
      openFor: mostly(1000, 100, LONGEST),
      renew: mostly(true, false),
      limit: mostly<number | undefined>(undefined, 1, 2),
      deny: mostly<readonly Address[]>([], SOURCES.slice(0, 1), SOURCES.slice(2, 3)),
      knock: fc.option(knock(name), { nil: undefined, freq: 9 }),
    })
    .map(({ limit, deny, knock: asked, ...rest }) => ({
      ...rest,
      name,
      protect: [{ protocol: 'tcp', first: port, last: port }],
      close: 'keep',
      allow: [],
      deny: deny.map((each) => ({ address: each, length: each.c === 0xffff ? 32 : 128 })),
      hooks: { timeLimit: 1000 },
      ...(limit !== undefined && { limit }),
      ...(asked && { knock: asked }),
    }));

const doorsOf = fc
  .tuple(policy('ssh', 22), policy('web', 80), mostly(2, 1, 0))
  .map(([ssh, web, count]) => [ssh, web].slice(0, count));

const packet: fc.Arbitrary<Packet> = fc
  .record({
    source,
    destination: fc.constant(LOCAL),
    protocol: mostly('tcp' as const, 'udp' as const),
    sourcePort: fc.integer({ min: 1024, max: 1027 }),
    destinationPort: fc.constantFrom(1, 1, 2, 2, 3, 3, 4, 22),
    flags: mostly(SYN, SYN | ACK),
    sequence: fc.integer({ min: 1, max: 1_000_000 }),
    length: fc.constant(40),
  })
  .map((fields) => (fields.protocol === 'udp' ? { ...fields, flags: 0, sequence: 0 } : fields));

const door = fc.constantFrom('ssh', 'web');
const duration = fc.constantFrom(50, 1000, LONGEST);
const kind = <T extends string>(type: T) => fc.constant(type);

const action = fc.oneof(
  { weight: 30, arbitrary: fc.record({ type: kind('packet'), packet }) },
  { weight: 12, arbitrary: fc.record({ type: kind('knock'), source, door }) },
  { weight: 8, arbitrary: fc.record({ type: kind('time'), by: fc.constantFrom(1, 10, 99, 400, 1000, 6000) }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: kind('wall'), by: fc.constantFrom(-1e9, -3000, -500, 500, 3000, 1e9) }),
  },
  { weight: 4, arbitrary: fc.record({ type: kind('hand'), source, door, duration }) },
  { weight: 2, arbitrary: fc.record({ type: kind('close'), source, door }) },
  { weight: 4, arbitrary: fc.record({ type: kind('sighted'), source }) },
  { weight: 1, arbitrary: fc.record({ type: kind('ban'), source, duration }) },
  { weight: 1, arbitrary: fc.record({ type: kind('unban'), source }) },
  { weight: 2, arbitrary: fc.record({ type: kind('reload'), doors: doorsOf }) },
  { weight: 2, arbitrary: fc.record({ type: kind('watcher dies') }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: kind('keeper dies'), asleep: fc.constantFrom(0, 30, 700), carriedOut: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ type: kind('power fails'), asleep: fc.constantFrom(0, 30, 700) }) },
  { weight: 2, arbitrary: fc.record({ type: kind('flush') }) },
  { weight: 2, arbitrary: fc.record({ type: kind('refuse') }) },
  { weight: 1, arbitrary: fc.record({ type: kind('answer'), count: fc.integer({ min: 1, max: 4 }) }) },
);
const actionsOf = fc.array(action, { minLength: 10, maxLength: 60, size: 'max' });

/** Of a firewall that answers when it likes. */
const slowly = fc.oneof(
  { weight: 3, arbitrary: action },
  { weight: 2, arbitrary: fc.record({ type: kind('answer'), count: fc.integer({ min: 1, max: 4 }) }) },
);
const slowActionsOf = fc.array(slowly, { minLength: 10, maxLength: 80, size: 'max' });

/** Lets everything that nobody holds up come to its end. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function scene(doors: readonly DoorPolicy[], expires: boolean) {
  const clock = new ManualClock();
  const firewall = new PretendedFirewall(clock, expires);
  const ban = { after: 3, within: 10_000, duration: 800 };
  const world: ModelWorld = { clock, firewall, state: openModelState(), local: [LOCAL], publicPorts: [22, 80], ban };
  const reference = new ReferenceDaemon(clock, { doors, local: [LOCAL], publicPorts: [22, 80], networkOf });
  return { clock, firewall, world, reference };
}

/** The packets of a right knock. */
function* packetsOf(from: Address, { steps }: Door, serial: number): Generator<Packet> {
  for (const [index, { protocol, port }] of steps.entries()) {
    const udp = protocol === 'udp';
    yield {
      source: from,
      destination: LOCAL,
      protocol,
      sourcePort: 2000 + index,
      destinationPort: port,
      flags: udp ? 0 : SYN,
      sequence: udp ? 0 : 2_000_000 + serial * 10 + index,
      length: 40,
    };
  }
}

async function pass(clock: ManualClock, milliseconds: number, each: () => void): Promise<void> {
  // Timers of one moment run together, as they do when nothing keeps the process busy.
  for (let left = milliseconds; left > 0; left -= 50) {
    clock.advance(Math.min(50, left));
    each();
    await settled();
  }
}

const trap = (from: Address) =>
  ({ source: from, traps: 1, closed: 0, unused: 0, ports: [{ protocol: 'tcp', port: 23 }], distinct: 1 }) as const;

test('Who is in, and until when, is what the reference says, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(doorsOf, actionsOf, fc.boolean(), async (first, actions, expires) => {
      let doors = first;
      const { clock, firewall, world, reference } = scene(doors, expires);
      let daemon = new ModelDaemon(world, doors);
      await daemon.start();
      for (const [serial, action] of actions.entries()) {
        firewall.refusing &&= ['packet', 'knock', 'hand'].includes(action.type);
        const send = (sent: Packet): void => {
          reference.packet(sent, firewall.refusing);
          daemon.packet(sent);
        };
        switch (action.type) {
          case 'packet':
            send(action.packet);
            break;
          case 'knock':
            for (const sent of packetsOf(action.source, knockOf(doors, action.door), serial)) {
              send(sent);
              await settled();
            }
            break;
          case 'time':
            await pass(clock, action.by, () => {
              reference.expire();
              daemon.expire();
            });
            break;
          case 'wall':
            clock.wall += action.by;
            break;
          case 'hand':
            reference.hand(action.door, action.source, action.duration, firewall.refusing);
            await daemon.hand(action.door, action.source, action.duration);
            break;
          case 'close':
            reference.close(action.door, action.source);
            await daemon.grants.close(action.door, action.source, 'by hand');
            break;
          case 'sighted':
            daemon.sighted(trap(action.source));
            break;
          case 'ban':
            reference.ban(action.source, action.duration);
            await daemon.ban(action.source, action.duration);
            break;
          case 'unban':
            reference.unban(action.source);
            await daemon.unban(action.source);
            break;
          case 'reload':
            doors = action.doors;
            reference.reload(doors);
            await daemon.reload(doors);
            break;
          case 'watcher dies':
            reference.watcherDied();
            daemon.watcherDies();
            break;
          case 'keeper dies':
          case 'power fails': {
            daemon.kill();
            const kept = action.type === 'keeper dies';
            if (!kept) firewall.flush();
            clock.advance(action.asleep);
            reference.restarted(kept, expires);
            daemon = new ModelDaemon(world, doors);
            await daemon.start();
            // What was over is ended by a timer, at once.
            clock.advance(0);
            break;
          }
          case 'flush':
            firewall.flush();
            await daemon.restore();
            break;
        }
        await settled();
        firewall.refusing = action.type === 'refuse';
        compare(firewall, daemon, reference);
      }
    }),
    { numRuns: RUNS },
  );
});

function knockOf(doors: readonly DoorPolicy[], name: string): Door {
  const steps: Door['steps'] = [];
  return (
    doors.find((each) => each.name === name)?.knock ?? {
      name,
      steps,
      window: 0,
      strays: 0,
      tcpFlags: { set: 0, clear: 0 },
    }
  );
}

function compare(firewall: PretendedFirewall, daemon: ModelDaemon, reference: ReferenceDaemon): void {
  const sorted = (lines: readonly string[]): readonly string[] => [...lines].sort();
  const now = firewall.now;
  const expected = sorted([...reference.in].map(([key, { until }]) => `${key} ${until - now}`));
  if (firewall.expires) {
    assert.deepEqual(
      sorted([...firewall.openings()].map(([key, left]) => `${key} ${left}`)),
      expected,
      'in the kernel',
    );
  } else {
    assert.deepEqual(sorted([...firewall.openings().keys()]), sorted([...reference.in.keys()]), 'in the kernel');
  }
  const live = daemon.grants.live().map((grant) => `${grant.door} ${printAddress(grant.source)} ${grant.until - now}`);
  assert.deepEqual(sorted(live), expected, 'as the daemon knows it');
  for (const { source: key } of daemon.bans) {
    assert.ok(!reference.isGranted(printAddress(key)), `${printAddress(key)} is banned, and has a grant`);
  }
}

test('With a firewall that takes its time nobody is in who did not knock, nobody for longer than he may, and no ban stays on a grant', async () => {
  await fc.assert(
    fc.asyncProperty(doorsOf, slowActionsOf, async (first, actions) => {
      let doors = first;
      const { clock, firewall, world, reference } = scene(doors, true);
      let daemon = new ModelDaemon(world, doors);
      await daemon.start();
      firewall.holding = true;
      const begun: Promise<unknown>[] = [];
      const begin = (act: Promise<unknown>): void => void begun.push(act.catch(() => {}));
      const reloaded = async (which: ModelDaemon, next: readonly DoorPolicy[]): Promise<void> => {
        await which.reload(next);
        if (which === daemon) reference.reload(next);
      };
      for (const [serial, action] of actions.entries()) {
        const send = (sent: Packet): void => {
          reference.packet(sent, false);
          daemon.packet(sent);
        };
        switch (action.type) {
          case 'packet':
            send(action.packet);
            break;
          case 'knock':
            for (const sent of packetsOf(action.source, knockOf(doors, action.door), serial)) send(sent);
            break;
          case 'time':
            await pass(clock, action.by, () => {
              reference.expire();
              daemon.expire();
            });
            break;
          case 'wall':
            clock.wall += action.by;
            break;
          case 'hand':
            reference.hand(action.door, action.source, action.duration, false);
            begin(daemon.hand(action.door, action.source, action.duration));
            break;
          case 'close':
            begin(daemon.grants.close(action.door, action.source, 'by hand'));
            break;
          case 'sighted':
            daemon.sighted(trap(action.source));
            break;
          case 'ban':
            begin(daemon.ban(action.source, action.duration));
            break;
          case 'unban':
            begin(daemon.unban(action.source));
            break;
          case 'reload':
            doors = action.doors;
            begin(reloaded(daemon, doors));
            break;
          case 'watcher dies':
            reference.watcherDied();
            daemon.watcherDies();
            break;
          case 'keeper dies':
            daemon.kill();
            firewall.abandon(action.carriedOut);
            clock.advance(action.asleep);
            reference.reload(doors);
            reference.watcherDied();
            daemon = new ModelDaemon(world, doors);
            await answered(firewall, daemon.start());
            break;
          case 'answer':
            for (let count = 0; count < action.count; count += 1) firewall.answer();
            break;
        }
        await settled();
        for (const [key, left] of firewall.openings()) {
          assert.ok(reference.called.has(key), `${key} never knocked`);
          assert.ok(left <= LONGEST, `${key} has ${left} ms`);
        }
      }
      await answered(firewall, Promise.all(begun));
      firewall.holding = false;
      do await settled();
      while (firewall.answer());
      const live = daemon.grants.live().map((grant) => `${grant.door} ${printAddress(grant.source)}`);
      assert.deepEqual(new Set(firewall.openings().keys()), new Set(live));
      for (const { source: banned, via } of daemon.bans) {
        const isBannedByPoints = via === 'points' && live.some((key) => key.endsWith(` ${printAddress(banned)}`));
        assert.ok(!isBannedByPoints, `${printAddress(banned)} is banned, and has a grant`);
      }
      await pass(clock, LONGEST, () => {});
      assert.deepEqual([daemon.grants.live(), [...firewall.openings()], world.state.grants.all()], [[], [], []]);
    }),
    { numRuns: RUNS },
  );
});

/** Lets the firewall answer until something is done. A promise of a daemon that was killed may never be. */
async function answered(firewall: PretendedFirewall, work: Promise<unknown>): Promise<void> {
  let done = false;
  void work.then(() => {
    done = true;
  });
  for (let idle = 0; !done && idle < 3; idle = firewall.answer() ? 0 : idle + 1) await settled();
}
