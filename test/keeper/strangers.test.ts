/** Who is banned for what, who never is, and what a forged flood can do. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Address, ipv4, parseAddress, printAddress } from '../../src/core/address.ts';
import type { HistoryEvent } from '../../src/core/history.ts';
import type { Sighting } from '../../src/core/sightings.ts';
import { type StrangerSettings, Strangers } from '../../src/keeper/strangers.ts';
import { TimedSources } from '../../src/keeper/timed-sources.ts';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { ALLOWED, BANS } from '../../src/store/rows.ts';
import { doorPolicy } from '../support/firewall-contract.ts';
import { ManualClock } from '../support/manual-clock.ts';

const MALLORY = address('192.0.2.66');
const HONEST = address('192.0.2.7');

function address(text: string): Address {
  return parseAddress(text)!;
}

function stage(settings: Partial<StrangerSettings> = {}) {
  const clock = new ManualClock();
  const events: HistoryEvent[] = [];
  const record = (event: HistoryEvent): void => void events.push(event);
  const grants = new Map<string, string[]>();
  const sessions = new Set<string>();
  const firewall = { refuses: false };
  const initial: StrangerSettings = {
    trusted: [{ address: address('198.51.100.0'), length: 24 }],
    doors: [doorPolicy('ssh', ['tcp/22']), doorPolicy('web', ['tcp/8000-8010'])],
    traps: [
      { protocol: 'tcp', first: 23, last: 23 },
      { protocol: 'udp', first: 161, last: 162 },
    ],
    ban: { after: 20, within: 600_000, duration: 60_000 },
    ipv6Prefix: 64,
    observe: false,
    ...settings,
  };
  const timed = (shape: typeof BANS, words: TimedWords): TimedSources =>
    new TimedSources({
      rows: openMemoryRows(shape, []),
      put: async () => {
        if (firewall.refuses) throw new Error('it refuses');
      },
      take: async () => {},
      words,
      record,
      ipv6Prefix: () => 64,
      monotonicNow: clock.monotonicNow,
      wallNow: clock.wallNow,
      after: clock.after,
    });
  const bans = timed(BANS, { began: 'banned', ended: 'unbanned' });
  const allowed = timed(ALLOWED, { began: 'allowed', ended: 'disallowed' });
  const strangers = new Strangers(
    {
      seed: [1, 2],
      bans,
      allowed,
      grantsOf: (source) => grants.get(printAddress(source)) ?? [],
      hasSession: async ({ address: from }) => sessions.has(printAddress(from)),
      record,
      wallNow: clock.wallNow,
    },
    initial,
  );
  const told = (): string[] =>
    events
      .splice(0)
      .map(({ type, door, source, reason, detail }) =>
        [type, door, source, reason, detail].filter((word) => word !== undefined).join(' '),
      );
  const touch = async (source: Address, rest: Partial<Sighting>): Promise<void> => {
    strangers.sighted({ source, traps: 0, closed: 0, unused: 0, ports: [], distinct: 0, ...rest });
    await new Promise((resolve) => setImmediate(resolve));
  };
  const configure = async (rest: Partial<StrangerSettings>): Promise<void> => {
    strangers.configure({ ...initial, ...rest });
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { clock, strangers, bans, allowed, grants, sessions, told, touch, configure, firewall };
}

type TimedWords = { readonly began: 'banned' | 'allowed'; readonly ended: 'unbanned' | 'disallowed' };

const TRAP = { traps: 1, ports: [{ protocol: 'tcp', port: 23 }], distinct: 1 } as const;
const TRY = { closed: 1, ports: [{ protocol: 'tcp', port: 22 }], distinct: 1 } as const;

describe('strangers', () => {
  test('every trap, try and scan is an event with its reason', async () => {
    const { told, touch } = stage();
    await touch(MALLORY, TRAP);
    await touch(MALLORY, TRY);
    await touch(MALLORY, { closed: 1, ports: [{ protocol: 'tcp', port: 8005 }] });
    await touch(MALLORY, { unused: 12, distinct: 12 });
    await touch(MALLORY, { unused: 1, ports: [{ protocol: 'tcp', port: 99 }] });
    assert.deepEqual(told(), [
      'trapped 192.0.2.66 tcp/23',
      'refused ssh 192.0.2.66 no grant tcp/22',
      'refused web 192.0.2.66 no grant tcp/8005',
      'scanned 192.0.2.66 12 ports',
    ]);
  });

  test('different traps and protected ports that are told of at once are an event each', async () => {
    const { told, touch } = stage();
    const tcp = (port: number) => ({ protocol: 'tcp', port }) as const;
    const udp = (port: number) => ({ protocol: 'udp', port }) as const;
    const ports = [tcp(23), udp(161), udp(162), tcp(22), tcp(8005), tcp(81)];
    await touch(MALLORY, { traps: 3, closed: 2, unused: 1, ports, distinct: 6 });
    assert.deepEqual(told(), [
      'trapped 192.0.2.66 tcp/23',
      'trapped 192.0.2.66 udp/161',
      'trapped 192.0.2.66 udp/162',
      'refused ssh 192.0.2.66 no grant tcp/22',
      'refused web 192.0.2.66 no grant tcp/8005',
    ]);
    // A reload has just taken the trap away.
    await touch(MALLORY, { traps: 1, ports: [tcp(24)], distinct: 1 });
    assert.equal(told()[0], 'trapped 192.0.2.66 tcp/24');
  });

  test('where nothing is dropped, a ban is told once for its time, and nobody is banned; a right knock and guarding end it', async () => {
    const { bans, clock, configure, grants, strangers, told, touch } = stage({ observe: true });
    for (let count = 0; count < 6; count += 1) await touch(MALLORY, TRAP);
    const banned = (): string[] => told().filter((line) => line.startsWith('banned'));
    assert.deepEqual(banned(), ['banned 192.0.2.66 observed 20 points, for 60 s']);
    assert.deepEqual([bans.size, strangers.wouldBan(MALLORY), strangers.observed], [0, true, 1]);
    clock.advance(60_000);
    assert.equal(strangers.observed, 0);
    await touch(MALLORY, TRAP);
    assert.deepEqual(banned(), ['banned 192.0.2.66 observed 33 points, for 60 s']);
    assert.equal(await strangers.knocked(MALLORY), true);
    assert.equal(strangers.wouldBan(MALLORY), false);
    grants.set(printAddress(HONEST), ['ssh']);
    for (let count = 0; count < 6; count += 1) await touch(HONEST, TRAP);
    assert.deepEqual([banned(), strangers.wouldBan(HONEST)], [[], false]);
    for (let count = 0; count < 4; count += 1) await touch(MALLORY, TRAP);
    assert.equal(strangers.wouldBan(MALLORY), true);
    await configure({ observe: false });
    assert.deepEqual([strangers.observed, bans.get(MALLORY)?.via, bans.get(HONEST)], [undefined, 'points', undefined]);
  });

  test('enough points ban for the configured time; the next ban takes as many again', async () => {
    const { clock, bans, told, touch } = stage();
    for (let count = 0; count < 3; count += 1) await touch(MALLORY, TRAP);
    assert.equal(bans.size, 0);
    await touch(MALLORY, TRAP);
    assert.equal(bans.get(MALLORY)?.until, 60_000);
    assert.equal(told().at(-1), 'banned 192.0.2.66 20 points for 60 s');
    clock.advance(30_000);
    await touch(MALLORY, TRAP);
    assert.equal(bans.get(MALLORY)?.until, 60_000);
    for (let count = 0; count < 4; count += 1) await touch(MALLORY, TRAP);
    assert.equal(bans.get(MALLORY)?.until, 90_000);
  });

  test('failed knocks count; without `after` nobody is banned', async () => {
    const { bans, strangers } = stage({ ban: { after: 3, within: 60_000, duration: 60_000 } });
    for (let count = 0; count < 3; count += 1) strangers.failed(MALLORY, 'ssh');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(bans.size, 1);
    const other = stage({ ban: { within: 60_000, duration: 60_000 } });
    for (let count = 0; count < 100; count += 1) await other.touch(MALLORY, TRAP);
    assert.equal(other.bans.size, 0);
    assert.equal(other.strangers.list(1)[0]?.traps, 100);
  });

  test('right knocks that were not admitted are counted', () => {
    const { strangers } = stage();
    strangers.denied(MALLORY, 'ssh');
    strangers.denied(address('198.51.100.77'), 'ssh');
    assert.deepEqual(
      strangers.list(9).map(({ source, denied, doors }) => [printAddress(source), denied, doors]),
      [['192.0.2.66', 1, ['ssh']]],
    );
  });

  test('trusted and allowed sources are not even counted', async () => {
    const { allowed, strangers, told, touch } = stage();
    await allowed.put(HONEST, 60_000, { via: 'hand', reason: '' });
    told();
    for (let count = 0; count < 10; count += 1) {
      await touch(address('198.51.100.77'), TRAP);
      await touch(HONEST, TRAP);
    }
    assert.deepEqual([strangers.list(10), told()], [[], []]);
  });

  test('who has a grant or a session is never banned, whoever forges packets in its name', async () => {
    const { bans, grants, sessions, touch, told } = stage();
    grants.set(printAddress(HONEST), ['ssh']);
    const other = address('2001:db8::5');
    sessions.add('2001:db8::');
    for (let count = 0; count < 100; count += 1) {
      await touch(HONEST, TRAP);
      await touch(other, TRAP);
      await touch(HONEST, TRY);
    }
    assert.equal(bans.size, 0);
    // Its own connections through the open door are no tries.
    assert.ok(told().every((line) => line.startsWith('trapped')));
  });

  test('who has a grant is not even listed for the ports of doors, however many; for anything else he is', async () => {
    const { grants, strangers, told, touch } = stage();
    grants.set(printAddress(HONEST), ['ssh']);
    await touch(HONEST, TRY);
    await touch(HONEST, { closed: 12, ports: TRY.ports, distinct: 12 });
    assert.deepEqual([strangers.list(9), told()], [[], []]);
    await touch(HONEST, { closed: 3, unused: 1, ports: [...TRY.ports, { protocol: 'tcp', port: 81 }], distinct: 2 });
    const listed = () =>
      strangers.list(9).map(({ closed, unused, distinct, scans }) => [closed, unused, distinct, scans]);
    assert.deepEqual([listed(), told()], [[[0, 1, 2, 0]], []]);
    await touch(HONEST, { closed: 9, unused: 9, distinct: 20 });
    assert.deepEqual([listed(), told()], [[[0, 10, 20, 2]], ['scanned 192.0.2.7 20 ports']]);
  });

  test('a door that opens to him does not take away what somebody did before, nor add to it', async () => {
    const { clock, grants, strangers, touch } = stage();
    await touch(HONEST, TRY);
    const before = strangers.list(9).map(({ points: _, ...deeds }) => deeds);
    grants.set(printAddress(HONEST), ['ssh']);
    clock.advance(1000);
    await touch(HONEST, { closed: 1, ports: [{ protocol: 'tcp', port: 8000 }], distinct: 2 });
    assert.deepEqual(
      strangers.list(9).map(({ points: _, ...deeds }) => deeds),
      before,
    );
    grants.clear();
    await touch(HONEST, TRY);
    assert.deepEqual(
      strangers.list(9).map(({ closed, since, last }) => [closed, last - since]),
      [[2, 1000]],
    );
  });

  test('an address of the link is never banned: its network has the router in it', async () => {
    const { bans, touch, strangers } = stage();
    for (let count = 0; count < 20; count += 1) await touch(address('fe80::dead'), TRAP);
    assert.equal(bans.size, 0);
    assert.equal(await strangers.safe(address('fe80::1')), 'link');
  });

  test('a right knock ends a ban for points; one by hand stays', async () => {
    const { bans, strangers, touch, told } = stage();
    for (let count = 0; count < 4; count += 1) await touch(HONEST, TRAP);
    assert.equal(bans.size, 1);
    told();
    assert.equal(await strangers.knocked(HONEST), true);
    assert.deepEqual([bans.size, told()], [0, ['unbanned 192.0.2.7 a right knock']]);
    await bans.put(HONEST, 60_000, { via: 'hand', reason: '' });
    assert.equal(await strangers.knocked(HONEST), false);
    assert.equal(bans.size, 1);
  });

  test('a ban that is only being decided when the right knock comes is ended by it, too', async () => {
    const { bans, strangers, told } = stage();
    strangers.sighted({ source: HONEST, closed: 0, unused: 0, ...TRAP, traps: 4 });
    assert.equal(bans.size, 0, 'nobody has looked for sessions yet');
    assert.equal(await strangers.knocked(HONEST), true);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(bans.size, 0);
    assert.deepEqual(
      told().map((line) => line.split(' ')[0]),
      ['trapped', 'banned', 'unbanned'],
    );
  });

  test('points never turn a ban by hand into a shorter one', async () => {
    const { bans, touch } = stage();
    await bans.put(MALLORY, 3_600_000, { via: 'hand', reason: '' });
    for (let count = 0; count < 8; count += 1) await touch(MALLORY, TRAP);
    assert.deepEqual([bans.get(MALLORY)?.until, bans.get(MALLORY)?.via], [3_600_000, 'hand']);
  });

  test('forged sources fill no table: 10,000 bans, and the rest is told once', async () => {
    const { bans, told, touch } = stage({ ban: { after: 5, within: 60_000, duration: 3_600_000 } });
    for (let count = 0; count < 10_050; count += 1) await touch(ipv4(0x0a00_0000 + count), TRAP);
    assert.equal(bans.size, 10_000);
    assert.equal(told().filter((line) => line.startsWith('warned')).length, 1);
  });

  describe('when bans are turned on', () => {
    const OFF = { ban: { within: 600_000, duration: 60_000 } };
    const ON = { ban: { after: 5, within: 600_000, duration: 60_000 } };

    test('who has the points for one is banned at once, who has not at his next deed', async () => {
      const { bans, told, touch, configure } = stage(OFF);
      await touch(MALLORY, TRAP);
      await touch(HONEST, TRY);
      told();
      await configure(ON);
      assert.deepEqual(told(), ['banned 192.0.2.66 5 points for 60 s']);
      await touch(HONEST, TRAP);
      assert.equal(bans.size, 2);
      await configure(ON);
      assert.equal(bans.size, 2);
    });

    test('what was forgotten until then is not counted, nor forgotten anew at another pace', async () => {
      const { clock, strangers, bans, touch, configure } = stage(OFF);
      await touch(MALLORY, TRAP);
      await touch(HONEST, { ...TRAP, traps: 2 });
      clock.advance(60_000); // Two points: 20 in ten minutes.
      await configure({ ban: { after: 5, within: 60_000, duration: 60_000 } });
      assert.deepEqual([bans.get(MALLORY), bans.get(HONEST)?.reason], [undefined, '8 points']);
      assert.equal(strangers.list(9).find(({ source }) => printAddress(source) === '192.0.2.66')?.points, 3);
    });

    test('nobody is who is trusted by then, allowed, granted, in a session or of the link; nor anybody while it observes', async () => {
      const { bans, allowed, grants, sessions, touch, configure } = stage(OFF);
      const [trusted, link, neighbour] = [address('203.0.113.1'), address('fe80::dead'), address('2001:db8::5')];
      for (const source of [HONEST, MALLORY, trusted, link, neighbour]) await touch(source, TRAP);
      grants.set(printAddress(HONEST), ['ssh']);
      await allowed.put(MALLORY, 60_000, { via: 'hand', reason: '' });
      sessions.add('2001:db8::');
      await configure({ ...ON, observe: true });
      await configure({ ...ON, trusted: [{ address: trusted, length: 32 }] });
      assert.equal(bans.size, 0);
    });

    test('it is one after another, and over with another configuration, the end, or a refusal', async () => {
      const { strangers, bans, told, touch, configure, firewall } = stage(OFF);
      for (let count = 0; count < 50; count += 1) await touch(ipv4(0x0a00_0000 + count), TRAP);
      firewall.refuses = true;
      told();
      await configure(ON);
      assert.deepEqual([bans.size, told().map((line) => line.split(' ')[0])], [0, ['warned']]);
      firewall.refuses = false;
      for (const end of [() => strangers.release(), () => void configure(OFF)]) {
        const ended = configure(ON);
        end();
        await ended;
        assert.ok(bans.size <= 2, `${bans.size}`);
      }
      await configure(ON);
      assert.equal(bans.size, 49);
    });
  });

  test('while it only observes, a try is told as what it is, and nobody is banned', async () => {
    const { bans, told, touch } = stage({ observe: true });
    await touch(MALLORY, TRY);
    assert.deepEqual(told(), ['refused ssh 192.0.2.66 observed tcp/22']);
    for (let count = 0; count < 10; count += 1) await touch(MALLORY, TRAP);
    assert.equal(bans.size, 0);
  });
});
