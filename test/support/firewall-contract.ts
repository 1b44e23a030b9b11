/**
 * What every firewall driver owes the keeper, tried with connections. A test file calls `firewallContract` with a stage: a server
 * with the driver under test and clients that try its ports.
 *
 *     alice 10.77.1.2 fd77::2 ┐
 *     bob   10.77.1.3         ├── server: tcp 22, 80, 8000, 8005, udp 5000 (echo)
 *     near            fd77::3 │   (near is in alice's network of 64 bits, far is not)
 *     far             fd78::2 ┘
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { type Address, parseAddress, printAddress } from '../../src/core/address.ts';
import { type CloseMode, type DoorPolicy, networkOf, type PortRange, type Prefix } from '../../src/core/policy.ts';
import { type FirewallDriver, FirewallError, type Guard } from '../../src/firewall/driver.ts';
import type { Outcome, Session } from './peer.ts';

export const ALICE = '10.77.1.2';
export const BOB = '10.77.1.3';
export const ALICE_6 = 'fd77::2';
export const NEAR_6 = 'fd77::3';
export const FAR_6 = 'fd78::2';
export const TCP_PORTS: readonly number[] = [22, 80, 8000, 8005];
export const UDP_PORT = 5000;

export interface FirewallStage {
  readonly driver: FirewallDriver;
  /** Another driver on the same firewall, as a keeper has that was started anew. */
  restart(): FirewallDriver;
  connect(source: string, port: number): Promise<Outcome>;
  ask(source: string, port: number): Promise<Outcome>;
  begin(source: string, port: number): Promise<Session>;
  close(): Promise<void>;
}

/** `ranges`: `tcp/22`, `udp/5000`, `tcp/8000-8010`. */
export function doorPolicy(name: string, ranges: readonly string[], close: CloseMode = 'keep'): DoorPolicy {
  return {
    name,
    protect: ranges.map(portRange),
    openFor: 30_000,
    renew: true,
    close,
    allow: [],
    deny: [],
    hooks: { timeLimit: 1000 },
  };
}

export function guardOf(doors: readonly DoorPolicy[], rest: Partial<Guard> = {}): Guard {
  return { doors, face: 'drop', ipv6Prefix: 64, trusted: [], observe: false, ...rest };
}

export function source(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`"${text}" is no address`);
  return address;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function block(text: string): Prefix {
  const [address = '', length] = text.split('/');
  return { address: networkOf(source(address), Number(length)), length: Number(length) };
}

function portRange(text: string): PortRange {
  const [, protocol, first, last = first] = /^(tcp|udp)\/(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  if (protocol !== 'tcp' && protocol !== 'udp') throw new Error(`"${text}" is no port range`);
  return { protocol, first: Number(first), last: Number(last) };
}

/** What a driver does not promise, each with its reason: that part of the contract is none of its tests. */
export interface ContractLimits {
  /** The kernel ends grants by itself. */
  readonly time?: string;
  /** Sessions of a `cut` door stall when it closes. */
  readonly cut?: string;
  /** Sessions of a `kill` door are reset when it closes. */
  readonly kill?: string;
  /** Lists have times and comments. */
  readonly comments?: string;
}

export function firewallContract(
  name: string,
  skip: string | false,
  openStage: () => Promise<FirewallStage>,
  limits: ContractLimits = {},
): void {
  const promised = (limit: string | undefined) => (limit === undefined ? test : () => {});
  describe(`${name}: the contract of firewall drivers`, { skip }, () => {
    let stage: FirewallStage;
    let driver: FirewallDriver;
    before(async () => {
      stage = await openStage();
      driver = stage.driver;
    });
    beforeEach(() => driver.remove());
    after(() => stage?.close());

    const open = (door: string, from: string, remaining = 30_000, comment = ''): Promise<void> =>
      driver.open({ door, source: source(from), remaining, comment });
    const refused = (outcome: Outcome): boolean => outcome === 'silent' || outcome === 'refused';
    const reaches = async (from: string, port: number): Promise<boolean> => {
      const outcome = await stage.connect(from, port);
      assert.ok(outcome === 'connected' || refused(outcome), outcome);
      return outcome === 'connected';
    };

    test('a guarded port is closed to everybody, other ports are not touched', async () => {
      assert.ok(await reaches(ALICE, 22));
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      assert.deepEqual(await Promise.all([ALICE, BOB, ALICE_6, FAR_6].map((from) => reaches(from, 22))), [
        false,
        false,
        false,
        false,
      ]);
      assert.deepEqual(await Promise.all([ALICE, BOB, ALICE_6, FAR_6].map((from) => reaches(from, 80))), [
        true,
        true,
        true,
        true,
      ]);
    });

    test('a grant lets in its IPv4 address and nobody else', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22']), doorPolicy('web', ['tcp/80'])]));
      await open('ssh', ALICE);
      assert.deepEqual(
        [await reaches(ALICE, 22), await reaches(BOB, 22), await reaches(ALICE_6, 22)],
        [true, false, false],
      );
      assert.equal(await reaches(ALICE, 80), false);
    });

    test('a grant lets in the network of its IPv6 address and nobody else', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      await open('ssh', ALICE_6);
      assert.deepEqual([await reaches(ALICE_6, 22), await reaches(NEAR_6, 22)], [true, true]);
      assert.deepEqual([await reaches(FAR_6, 22), await reaches(ALICE, 22)], [false, false]);
      await driver.close('ssh', source(NEAR_6));
      assert.equal(await reaches(ALICE_6, 22), false);
    });

    test('with 128 bits, an IPv6 grant is for one address', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])], { ipv6Prefix: 128 }));
      await open('ssh', ALICE_6);
      assert.deepEqual([await reaches(ALICE_6, 22), await reaches(NEAR_6, 22)], [true, false]);
    });

    promised(limits.time)('a grant ends by itself at its time', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      await open('ssh', ALICE, 900);
      await open('ssh', ALICE_6, 900);
      assert.ok(await reaches(ALICE, 22));
      await pause(1300);
      assert.deepEqual([await reaches(ALICE, 22), await reaches(ALICE_6, 22)], [false, false]);
      assert.deepEqual((await driver.list()).grants, []);
    });

    promised(limits.time)('opening again begins the time anew, longer or shorter', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      await open('ssh', ALICE, 600);
      await open('ssh', ALICE, 30_000);
      await open('ssh', BOB, 30_000);
      await open('ssh', BOB, 600);
      await pause(1000);
      assert.deepEqual([await reaches(ALICE, 22), await reaches(BOB, 22)], [true, false]);
      assert.equal((await driver.list()).grants.length, 1);
    });

    test('closing ends a grant, and is no error when there is none', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      await open('ssh', ALICE);
      await driver.close('ssh', source(ALICE));
      assert.equal(await reaches(ALICE, 22), false);
      await driver.close('ssh', source(ALICE));
      await driver.close('ssh', source(BOB));
    });

    test('a session of a `keep` door outlives its grant', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      await open('ssh', ALICE);
      const session = await stage.begin(ALICE, 22);
      assert.equal(await session.says('one'), 'connected');
      await driver.close('ssh', source(ALICE));
      assert.equal(await session.says('two'), 'connected');
      assert.equal(await reaches(ALICE, 22), false);
      await session.end();
    });

    promised(limits.cut)('a session of a `cut` door hangs when its grant ends and goes on at the next', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'], 'cut')]));
      for (const from of [ALICE, ALICE_6]) {
        await open('ssh', from);
        const session = await stage.begin(from, 22);
        assert.equal(await session.says('one'), 'connected');
        await driver.close('ssh', source(from));
        assert.equal(await session.says('two'), 'silent');
        await open('ssh', from);
        // The client's TCP sends "two" again by itself.
        assert.equal(await session.says('', 5000), 'connected');
        assert.equal(await session.says('three', 5000), 'connected');
        await session.end();
      }
    });

    promised(limits.kill)('a session of a `kill` door is reset when the door is closed', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22', 'tcp/8000-8010'], 'kill')]));
      for (const from of [ALICE, ALICE_6]) {
        await open('ssh', from);
        const sessions = [await stage.begin(from, 22), await stage.begin(from, 8005)];
        const other = await stage.begin(from, 80);
        for (const session of [...sessions, other]) assert.equal(await session.says('one'), 'connected');
        await driver.close('ssh', source(from));
        for (const session of sessions) assert.equal(await session.says('two'), 'refused');
        assert.equal(await other.says('two'), 'connected');
        await other.end();
      }
    });

    test('closing a `kill` door for one source leaves the sessions of others', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'], 'kill')]));
      await open('ssh', ALICE);
      await open('ssh', BOB);
      const session = await stage.begin(BOB, 22);
      await driver.close('ssh', source(ALICE));
      assert.equal(await session.says('still here'), 'connected');
      await session.end();
    });

    test('sessions that live at the first installation go on, of any kind of door', async () => {
      for (const close of ['keep', 'cut', 'kill'] as const) {
        await driver.remove();
        const sessions = [await stage.begin(ALICE, 22), await stage.begin(ALICE_6, 22)];
        for (const session of sessions) assert.equal(await session.says('before'), 'connected');
        await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'], close)]));
        for (const session of sessions) assert.equal(await session.says('after', 2000), 'connected', close);
        assert.equal(await reaches(ALICE, 22), false);
        for (const session of sessions) await session.end();
      }
    });

    promised(limits.kill)('closing a `kill` door also resets the sessions that are older than the guard', async () => {
      const session = await stage.begin(ALICE, 22);
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'], 'kill')]));
      assert.equal(await session.says('after', 2000), 'connected');
      await driver.close('ssh', source(ALICE));
      assert.equal(await session.says('closed'), 'refused');
    });

    test('a ban drops everything from its source, granted or not, until it ends', async (t) => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      for (const from of [ALICE, ALICE_6]) {
        await open('ssh', from);
        const session = await stage.begin(from, 22);
        await driver.ban({ source: source(from), remaining: 30_000 });
        assert.deepEqual([await stage.connect(from, 22), await stage.connect(from, 80)], ['silent', 'silent']);
        assert.equal(await session.says('hello'), 'silent');
        assert.ok(await reaches(BOB, 80));
        await driver.unban(source(from));
        assert.deepEqual([await reaches(from, 22), await reaches(from, 80)], [true, true]);
        await driver.unban(source(from));
        await session.end();
      }
      if (!driver.expires) return t.diagnostic('the keeper ends the bans of this driver');
      await driver.ban({ source: source(ALICE), remaining: 600 });
      assert.equal(await reaches(ALICE, 80), false);
      await pause(900);
      assert.ok(await reaches(ALICE, 80));
    });

    test('trusted blocks pass every door, of both families, whatever bans say; others do not', async () => {
      const doors = [doorPolicy('ssh', ['tcp/22'], 'cut'), doorPolicy('web', ['tcp/80'])];
      const trusted = ['10.77.1.2/32', '10.77.1.2/31', '10.77.9.0/24', 'fd77::/64', 'fd79::/64'].map(block);
      for (const face of ['drop', 'mirror'] as const) {
        await driver.install(guardOf(doors, { trusted, face }));
        await driver.ban({ source: source(ALICE), remaining: 30_000 });
        // 10.77.1.2/31 has .2 and .3.
        for (const from of [ALICE, BOB, ALICE_6, NEAR_6]) {
          assert.deepEqual([await reaches(from, 22), await reaches(from, 80)], [true, true], from);
        }
        assert.deepEqual([await reaches(FAR_6, 22), await reaches(FAR_6, 80)], [false, false]);
      }
      await driver.install(guardOf(doors, { trusted: [block('10.77.1.3/32')] }));
      await driver.unban(source(ALICE));
      assert.deepEqual(
        [await reaches(ALICE, 22), await reaches(BOB, 22), await reaches(NEAR_6, 22)],
        [false, true, false],
      );
    });

    test('who is allowed passes every door and ban until the time is over, and is listed', async (t) => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22']), doorPolicy('web', ['tcp/80'])]));
      for (const from of [ALICE, ALICE_6]) await driver.allow({ source: source(from), remaining: 30_000 });
      await driver.ban({ source: source(ALICE), remaining: 30_000 });
      assert.deepEqual(
        [await reaches(ALICE, 22), await reaches(ALICE, 80), await reaches(NEAR_6, 22), await reaches(BOB, 22)],
        [true, true, true, false],
      );
      const { allowed, grants } = await driver.list();
      assert.deepEqual(
        [allowed.map((each) => printAddress(each.source)).sort(), grants],
        [['10.77.1.2', 'fd77::'], []],
      );
      // A reload keeps them.
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22', 'tcp/8000'])]));
      assert.ok(await reaches(ALICE, 8000));
      await driver.disallow(source(ALICE));
      await driver.disallow(source(ALICE));
      await driver.unban(source(ALICE));
      assert.deepEqual([await reaches(ALICE, 22), await reaches(ALICE_6, 22)], [false, true]);
      if (!driver.expires) return t.diagnostic('the keeper ends what this driver allows');
      await driver.allow({ source: source(BOB), remaining: 600 });
      assert.ok(await reaches(BOB, 22));
      await pause(900);
      assert.equal(await reaches(BOB, 22), false);
    });

    test('a guard that observes drops nothing, keeps what it is told, and begins to guard without ending a session', async () => {
      const doors = [doorPolicy('ssh', ['tcp/22'], 'cut'), doorPolicy('web', ['tcp/80'])];
      for (const face of ['drop', 'mirror'] as const) {
        await driver.install(guardOf(doors, { observe: true, face }));
        await driver.ban({ source: source(FAR_6), remaining: 30_000 });
        await open('ssh', ALICE);
        assert.deepEqual(await Promise.all([ALICE, BOB, FAR_6].map((from) => reaches(from, 22))), [true, true, true]);
        const session = await stage.begin(BOB, 22);
        await driver.install(guardOf(doors, { face }));
        assert.equal(await session.says('still here'), 'connected');
        assert.deepEqual(await Promise.all([ALICE, BOB, FAR_6].map((from) => reaches(from, 22))), [true, false, false]);
        assert.equal(await reaches(FAR_6, 8000), false);
        await session.end();
        await driver.install(guardOf(doors, { observe: true, face }));
        assert.deepEqual([await reaches(BOB, 22), await reaches(FAR_6, 8000)], [true, true]);
        await driver.close('ssh', source(ALICE));
      }
    });

    test('`list()` shows who may come in, through which door, for how long, and why', async (t) => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22']), doorPolicy('web-2', ['tcp/80'])]));
      await open('ssh', ALICE, 30_000, 'user=alice via=spa');
      await open('web-2', BOB, 60_000, 'by "hand" \u{1f511} é\n');
      await open('web-2', ALICE_6, 90_000, 'x'.repeat(200));
      await driver.ban({ source: source(FAR_6), remaining: 40_000 });
      const { grants, bans } = await driver.list();
      const seen = grants.map(({ door, source: from }) => `${door} ${printAddress(from)}`).sort();
      assert.deepEqual(seen, ['ssh 10.77.1.2', 'web-2 10.77.1.3', 'web-2 fd77::']);
      assert.deepEqual(
        bans.map((ban) => printAddress(ban.source)),
        ['fd78::'],
      );
      if (limits.comments !== undefined) return t.diagnostic(limits.comments);
      const [alice, bob, network] = [...grants].sort((x, y) => x.remaining - y.remaining);
      assert.equal(alice!.comment, 'user=alice via=spa');
      assert.match(bob!.comment, /^[ !#-~]+$/);
      assert.equal(network!.comment.length, 100);
      for (const [grant, most] of [
        [alice!, 30_000],
        [bob!, 60_000],
        [network!, 90_000],
      ] as const) {
        assert.ok(grant.remaining <= most + 10 && grant.remaining > most - 10_000, `${grant.remaining}`);
      }
    });

    test('a new installation keeps the grants and bans that stand, and forgets doors that are gone', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22']), doorPolicy('web', ['tcp/80'])]));
      await open('ssh', ALICE);
      await open('ssh', ALICE_6);
      await open('web', ALICE);
      await driver.ban({ source: source(BOB), remaining: 30_000 });
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22', 'tcp/8000-8010'])], { face: 'reset' }));
      assert.deepEqual(
        [await reaches(ALICE, 22), await reaches(ALICE_6, 22), await reaches(BOB, 8000)],
        [true, true, false],
      );
      assert.deepEqual([await stage.connect(FAR_6, 22), await reaches(FAR_6, 80)], ['refused', true]);
      const { grants, bans } = await driver.list();
      assert.deepEqual([grants.map(({ door }) => door), bans.length], [['ssh', 'ssh'], 1]);
      await driver.install(guardOf([doorPolicy('web', ['tcp/80'])]));
      assert.deepEqual([await reaches(ALICE, 22), await reaches(ALICE, 80)], [true, false]);
    });

    test('a driver that is started anew finds the grants, and its installation keeps them', async () => {
      const guard = guardOf([doorPolicy('ssh', ['tcp/22'])]);
      await driver.install(guard);
      await open('ssh', ALICE, 30_000, 'user=alice');
      const next = stage.restart();
      assert.deepEqual(
        (await next.list()).grants.map(({ comment }) => comment),
        [limits.comments === undefined ? 'user=alice' : ''],
      );
      await next.install(guard);
      assert.deepEqual([await reaches(ALICE, 22), await reaches(BOB, 22)], [true, false]);
      await next.close('ssh', source(ALICE));
      assert.equal(await reaches(ALICE, 22), false);
      await next.stop();
      assert.equal(await reaches(ALICE, 22), false);
    });

    test('ranges, doors that share a port, and doors with several ports', async () => {
      await driver.install(
        guardOf([doorPolicy('range', ['tcp/8000-8010']), doorPolicy('one', ['tcp/8005', 'tcp/22'])]),
      );
      await open('range', ALICE);
      await open('one', BOB);
      const reached = async (from: string): Promise<boolean[]> =>
        Promise.all([22, 8000, 8005].map((port) => reaches(from, port)));
      assert.deepEqual(
        [await reached(ALICE), await reached(BOB)],
        [
          [false, true, true],
          [true, false, true],
        ],
      );
      assert.deepEqual(await reached(ALICE_6), [false, false, false]);
    });

    test('a UDP door opens and closes', async () => {
      await driver.install(guardOf([doorPolicy('vpn', ['udp/5000'])]));
      for (const from of [ALICE, ALICE_6]) {
        assert.equal(await stage.ask(from, UDP_PORT), 'silent');
        await open('vpn', from);
        assert.equal(await stage.ask(from, UDP_PORT), 'connected');
        await driver.close('vpn', source(from));
        assert.equal(await stage.ask(from, UDP_PORT), 'silent');
      }
    });

    test('operations take effect in the order in which they were asked for', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])]));
      const turns: Promise<unknown>[] = [];
      for (let turn = 0; turn < 20; turn += 1) {
        turns.push(
          open('ssh', ALICE),
          driver.close('ssh', source(ALICE)),
          driver.close('ssh', source(BOB)),
          open('ssh', BOB),
        );
        if (turn === 10) turns.push(driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])])));
      }
      await Promise.all(turns);
      assert.deepEqual([await reaches(ALICE, 22), await reaches(BOB, 22)], [false, true]);
    });

    test('what can not be done is refused, and nothing is open', async () => {
      const guard = guardOf([doorPolicy('ssh', ['tcp/22'])]);
      await driver.install(guard);
      await assert.rejects(open('nosuch', ALICE), FirewallError);
      for (const remaining of [0, -1, Number.NaN]) await assert.rejects(open('ssh', ALICE, remaining), FirewallError);
      for (const name of ['a b', '', 'x; flush ruleset', '-x', 'x'.repeat(33)]) {
        await assert.rejects(driver.install(guardOf([doorPolicy(name, ['tcp/80'])])), FirewallError);
      }
      assert.deepEqual([await reaches(ALICE, 22), await reaches(ALICE, 80)], [false, true]);
      await open('ssh', ALICE);
      assert.ok(await reaches(ALICE, 22));
    });

    test('`remove()` takes everything away, and is no error when there is nothing', async () => {
      await driver.install(guardOf([doorPolicy('ssh', ['tcp/22'])], { face: 'mirror' }));
      await driver.ban({ source: source(BOB), remaining: 30_000 });
      await driver.remove();
      assert.deepEqual([await reaches(ALICE, 22), await reaches(BOB, 22)], [true, true]);
      await driver.remove();
      assert.deepEqual(await driver.list(), { grants: [], bans: [], allowed: [] });
    });
  });
}
