import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, printAddress } from '../../src/core/address.ts';
import type { HistoryEvent } from '../../src/core/history.ts';
import type { DoorPolicy, Prefix } from '../../src/core/policy.ts';
import { type FirewallDriver, FirewallError, type Grant } from '../../src/firewall/driver.ts';
import { DueCloses } from '../../src/keeper/due-closes.ts';
import { Grants, type LiveGrant } from '../../src/keeper/grants.ts';
import { openMemoryRows } from '../../src/store/memory-rows.ts';
import { CLOSES, GRANTS, type GrantRow } from '../../src/store/rows.ts';
import { address } from '../support/knocks.ts';
import { ManualClock } from '../support/manual-clock.ts';

const ALICE = address('192.0.2.1');
const BOB = address('192.0.2.2');
const SECOND = 1000;
const KNOCK = { via: 'knock' } as const;
const HAND = { via: 'hand' } as const;

function prefix(text: string): Prefix {
  const [network = '', length = ''] = text.split('/');
  return { address: address(network), length: Number(length) };
}

function doorOf(changes: Partial<DoorPolicy> = {}): DoorPolicy {
  return {
    name: 'ssh',
    protect: [{ protocol: 'tcp', first: 22, last: 22 }],
    openFor: 30 * SECOND,
    renew: true,
    close: 'keep',
    allow: [],
    deny: [],
    hooks: { timeLimit: SECOND },
    ...changes,
  };
}

/** A kernel that holds what it is told to, to its time; writes down what was asked; answers when `let` go, if it is held. */
class FakeFirewall implements FirewallDriver {
  readonly name = 'fake';
  readonly expires: boolean;
  readonly asked: string[] = [];
  readonly standing = new Map<string, Grant & { readonly until: number }>();
  /** The next so many operations are refused. */
  refusing = 0;
  readonly #clock: ManualClock;
  #hold: Promise<void> | undefined;

  constructor(clock: ManualClock, expires = true) {
    this.#clock = clock;
    this.expires = expires;
  }

  /** Makes every answer wait; the result lets them go. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hold = promise;
    return () => {
      this.#hold = undefined;
      resolve();
    };
  }

  async open(grant: Grant): Promise<void> {
    await this.#answer(`open ${grant.door} ${printAddress(grant.source)} ${Math.round(grant.remaining)}`);
    this.put(grant);
  }

  async close(door: string, source: Grant['source']): Promise<void> {
    await this.#answer(`close ${door} ${printAddress(source)}`);
    this.standing.delete(`${door} ${printAddress(source)}`);
  }

  async list() {
    const now = this.#clock.monotonicNow();
    const grants = [...this.standing.values()].map((grant) => ({ ...grant, remaining: grant.until - now }));
    return { grants: grants.filter(({ remaining }) => !this.expires || remaining > 0), bans: [], allowed: [] };
  }

  put(grant: Grant): void {
    const until = this.#clock.monotonicNow() + grant.remaining;
    this.standing.set(`${grant.door} ${printAddress(grant.source)}`, { ...grant, until });
  }

  async install(): Promise<boolean> {
    return false;
  }
  async ban(): Promise<void> {}
  async unban(): Promise<void> {}
  async allow(): Promise<void> {}
  async disallow(): Promise<void> {}
  async remove(): Promise<void> {}
  watch = () => ({ close: () => {} });
  async stop(): Promise<void> {}

  async #answer(what: string): Promise<void> {
    this.asked.push(what);
    await this.#hold;
    if (this.refusing === 0) return;
    this.refusing -= 1;
    throw new FirewallError('the firewall is moody');
  }
}

function closesOf(driver: FirewallDriver, { wallNow }: ManualClock): DueCloses {
  const another = (name: string): never => assert.fail(`nobody has opened by ${name}`);
  return new DueCloses({ driver, rows: openMemoryRows(CLOSES), another, record: () => {}, wallNow });
}

function scene(changes: Partial<DoorPolicy> = {}, options: { expires?: boolean; rows?: readonly GrantRow[] } = {}) {
  const clock = new ManualClock();
  const firewall = new FakeFirewall(clock, options.expires);
  const rows = openMemoryRows(GRANTS, options.rows);
  const told: HistoryEvent[] = [];
  const hooks: string[] = [];
  const hook = (door: DoorPolicy, when: string, { source, via, knocker }: LiveGrant): void =>
    void hooks.push(
      `${door.name} ${when} ${printAddress(source)} ${via}${knocker ? ` for ${printAddress(knocker)}` : ''}`,
    );
  const { wallNow, monotonicNow, after } = clock;
  const record = (event: HistoryEvent): void => void told.push(event);
  const closes = closesOf(firewall, clock);
  const ports = { driver: firewall, rows, closes, record, hook, wallNow, monotonicNow, after };
  const grants = new Grants(ports, () => 64);
  grants.configure([doorOf(changes)]);
  return { clock, firewall, rows, told, hooks, grants };
}

const types = (told: readonly HistoryEvent[]): string[] => told.map(({ type }) => type);
const sourcesOf = (grants: Grants): string[] => grants.live().map(({ source }) => printAddress(source));
/** Lets everything that is not held come to its end. */
const settled = async (): Promise<void> => {
  for (let round = 0; round < 50; round += 1) await Promise.resolve();
};

function row(changes: Partial<GrantRow> & { left?: number } = {}): GrantRow {
  const { left = 10 * SECOND, ...rest } = changes;
  const now = new ManualClock().wallNow();
  const until = now + left;
  return { door: 'ssh', source: '192.0.2.1', opened: now - 1, until, longest: 30 * SECOND, via: 'knock', ...rest };
}

describe('opening a door', () => {
  test('is on disk before it is in the firewall, then recorded, then the hook runs', async () => {
    const { grants, firewall, rows, told, hooks, clock } = scene();
    const go = firewall.hold();
    const opening = grants.open('ssh', ALICE, { via: 'knock', user: 'alice' });
    await settled();
    assert.deepEqual(rows.all(), [
      {
        door: 'ssh',
        source: '192.0.2.1',
        opened: clock.wallNow(),
        until: clock.wallNow() + 30 * SECOND,
        longest: 30 * SECOND,
        via: 'knock',
        user: 'alice',
      },
    ]);
    assert.deepEqual([firewall.asked, told, hooks], [['open ssh 192.0.2.1 30000'], [], []]);
    go();
    assert.ok('opened' in (await opening));
    assert.deepEqual(told, [{ type: 'opened', door: 'ssh', source: '192.0.2.1', via: 'knock', user: 'alice' }]);
    assert.deepEqual(hooks, ['ssh open 192.0.2.1 knock']);
    assert.equal(firewall.standing.get('ssh 192.0.2.1')?.comment, 'postern via=knock user=alice');
  });

  test('over IPv6 is his who opened it: a neighbour renews it, and a restart and its end know the opener', async () => {
    const { grants, hooks, rows, told, clock } = scene();
    await grants.open('ssh', address('2001:db8::7'), KNOCK);
    clock.advance(SECOND);
    await grants.open('ssh', address('2001:db8::9'), KNOCK);
    assert.deepEqual(types(told), ['opened', 'renewed']);
    assert.deepEqual([rows.all()[0]?.source, rows.all()[0]?.knocker], ['2001:db8::', '2001:db8::7']);
    const later = scene({}, { rows: rows.all() });
    await later.grants.reconcile();
    await later.grants.close('ssh', address('2001:db8::9'), 'by hand');
    assert.deepEqual(hooks, ['ssh open 2001:db8:: knock for 2001:db8::7']);
    assert.deepEqual(later.hooks, ['ssh close 2001:db8:: knock for 2001:db8::7']);
  });

  test('again renews it, without the hook, and one timer is left', async () => {
    const { grants, clock, told, hooks, rows } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    const opened = clock.wallNow();
    clock.advance(20 * SECOND);
    await grants.open('ssh', ALICE, KNOCK);
    assert.deepEqual([types(told), hooks.length, clock.timers], [['opened', 'renewed'], 1, 1]);
    assert.equal(rows.get({ door: 'ssh', source: '192.0.2.1' })?.opened, opened);
    clock.advance(20 * SECOND);
    await settled();
    assert.equal(grants.live().length, 1);
    clock.advance(10 * SECOND);
    await settled();
    assert.deepEqual([types(told).at(-1), grants.live(), rows.all()], ['expired', [], []]);
  });

  test('that does not renew is ignored while it is open, and not recorded', async () => {
    const { grants, told } = scene({ renew: false });
    await grants.open('ssh', ALICE, KNOCK);
    assert.deepEqual(await grants.open('ssh', ALICE, KNOCK), { denied: 'open already' });
    assert.deepEqual(types(told), ['opened']);
    assert.ok('opened' in (await grants.open('ssh', ALICE, HAND)), 'by hand it begins anew');
  });

  test('lists of who may are about the address that knocked, not the network that is opened', async () => {
    const six = (text: string) => ({ address: address(text), length: 128 });
    const denying = scene({ deny: [six('2001:db8::4')] });
    assert.ok('opened' in (await denying.grants.open('ssh', address('2001:db8::5'), KNOCK)));
    assert.deepEqual(await denying.grants.open('ssh', address('2001:db8::4'), KNOCK), { denied: 'source' });
    assert.equal(denying.told.at(-1)?.source, '2001:db8::4');
    const allowing = scene({ allow: [six('2001:db8::5')] });
    assert.ok('opened' in (await allowing.grants.open('ssh', address('2001:db8::5'), KNOCK)));
    assert.deepEqual([allowing.told.at(-1)?.source, allowing.told.at(-1)?.detail], ['2001:db8::', 'from 2001:db8::5']);
    assert.deepEqual(await allowing.grants.open('ssh', address('2001:db8::6'), KNOCK), { denied: 'source' });
  });

  test('of a guard that stood all the time, what it does not hold any more was ended, whatever the state says', async () => {
    for (const [stood, live] of [
      [true, []],
      [false, ['192.0.2.1']],
    ] as const) {
      const { grants, rows } = scene({}, { rows: [row()] });
      await grants.reconcile(stood);
      assert.deepEqual([sourcesOf(grants), rows.all().length], [live, live.length]);
    }
  });

  test('that a restart gives back is written down for what is left of it: no start gives it its whole time again', async () => {
    const { grants, rows, clock } = scene({}, { rows: [row({ left: 10 * SECOND })] });
    clock.wall -= 3600 * SECOND;
    await grants.reconcile();
    assert.equal(grants.live()[0]?.until, 30 * SECOND, 'a clock that was set back: no longer than its own length');
    clock.advance(20 * SECOND);
    const { until, longest } = rows.all()[0]!;
    assert.deepEqual([until - clock.wall, longest], [10 * SECOND, 30 * SECOND]);
  });

  test('whose door went while it was renewed leaves no row', async () => {
    const { grants, rows, firewall } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    const go = firewall.hold();
    firewall.refusing = 1;
    const renewal = grants.open('ssh', ALICE, HAND);
    await settled();
    grants.configure([]);
    go();
    assert.deepEqual(await renewal, { denied: 'firewall', detail: 'the firewall is moody' });
    assert.deepEqual([rows.all(), grants.live()], [[], []]);
  });

  test('by knock never shortens what was given for longer; by hand it does', async () => {
    const { grants, clock, firewall } = scene();
    await grants.open('ssh', ALICE, { via: 'hand', duration: 3600 * SECOND });
    await grants.open('ssh', ALICE, KNOCK);
    assert.equal(firewall.asked.length, 1);
    assert.equal(grants.live()[0]?.via, 'hand');
    await grants.open('ssh', ALICE, { via: 'hand', duration: SECOND });
    clock.advance(SECOND);
    await settled();
    assert.deepEqual(grants.live(), []);
  });

  test('is for who may: `deny` wins over `allow`, and an administrator over both', async () => {
    const { grants, told, firewall } = scene({ allow: [prefix('192.0.2.0/24')], deny: [prefix('192.0.2.2/32')] });
    assert.ok('opened' in (await grants.open('ssh', ALICE, KNOCK)));
    assert.deepEqual(await grants.open('ssh', BOB, KNOCK), { denied: 'source' });
    assert.deepEqual(await grants.open('ssh', address('198.51.100.1'), KNOCK), { denied: 'source' });
    assert.deepEqual(types(told), ['opened', 'denied', 'denied']);
    assert.equal(firewall.asked.length, 1);
    assert.ok('opened' in (await grants.open('ssh', BOB, HAND)));
  });

  test('by knock is not for an address of the link, which would let in everybody on it', async () => {
    const { grants, told, firewall } = scene();
    assert.deepEqual(await grants.open('ssh', address('fe80::7'), KNOCK), { denied: 'link' });
    assert.deepEqual([told.map(({ type, reason }) => `${type} ${reason}`), firewall.asked], [['denied link'], []]);
  });

  test('stops at the limit, also for knocks that come at the same moment; renewing is no further grant', async () => {
    const { grants, firewall, clock } = scene({ limit: 2 });
    const go = firewall.hold();
    const sources = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'].map(address);
    const openings = sources.map((source) => grants.open('ssh', source, KNOCK));
    await settled();
    go();
    const outcomes = (await Promise.all(openings)).map((opening) => ('opened' in opening ? 'opened' : opening.denied));
    assert.deepEqual(outcomes, ['opened', 'opened', 'limit', 'limit']);
    assert.ok('opened' in (await grants.open('ssh', ALICE, KNOCK)));
    clock.advance(30 * SECOND);
    await settled();
    assert.ok('opened' in (await grants.open('ssh', sources[3]!, KNOCK)));
  });

  test('that the firewall refuses leaves nothing: no row, no grant, no hook; and a renewal leaves what was', async () => {
    const { grants, firewall, rows, told, hooks, clock } = scene({ limit: 1 });
    firewall.refusing = 1;
    assert.deepEqual(await grants.open('ssh', ALICE, KNOCK), { denied: 'firewall', detail: 'the firewall is moody' });
    assert.deepEqual([rows.all(), grants.live(), hooks, clock.timers], [[], [], [], 0]);
    assert.equal(told[0]?.detail, 'the firewall is moody');
    assert.ok('opened' in (await grants.open('ssh', ALICE, KNOCK)), 'it does not count for the limit');
    const before = rows.all();
    clock.advance(SECOND);
    firewall.refusing = 1;
    await grants.open('ssh', ALICE, KNOCK);
    assert.deepEqual(rows.all(), before);
    clock.advance(29 * SECOND);
    await settled();
    assert.deepEqual(grants.live(), []);
  });

  test('keeps an IPv6 source by its network', async () => {
    const { grants, firewall } = scene();
    await grants.open('ssh', address('2001:db8::1:2:3:4'), KNOCK);
    assert.deepEqual(firewall.asked, ['open ssh 2001:db8:: 30000']);
    assert.equal(await grants.close('ssh', address('2001:db8::5'), 'by hand'), true);
    assert.deepEqual(await grants.open('nosuch', ALICE, KNOCK), { denied: 'no such door' });
  });
});

describe('closing', () => {
  test('ends the grant in the firewall, then in the books, with the hook; the timer does no more', async () => {
    const { grants, firewall, told, hooks, clock, rows } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    assert.equal(await grants.close('ssh', ALICE, 'by hand'), true);
    assert.deepEqual(told.at(-1), {
      type: 'closed',
      door: 'ssh',
      source: '192.0.2.1',
      via: 'knock',
      reason: 'by hand',
    });
    assert.deepEqual([rows.all(), hooks.at(-1), clock.timers], [[], 'ssh close 192.0.2.1 knock', 0]);
    assert.equal(await grants.close('ssh', ALICE, 'by hand'), false);
    assert.equal(firewall.asked.filter((asked) => asked.startsWith('close')).length, 2, 'the firewall is told anyway');
  });

  test('that the firewall refuses leaves the grant in the books, for whoever tries again', async () => {
    const { grants, firewall } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    firewall.refusing = 1;
    await assert.rejects(grants.close('ssh', ALICE, 'by hand'), FirewallError);
    assert.equal(grants.live().length, 1);
    assert.equal(await grants.close('ssh', ALICE, 'by hand'), true);
  });

  test('a whole door ends what others put into the kernel as well', async () => {
    const { grants, firewall } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    firewall.put({ door: 'ssh', source: BOB, remaining: Number.POSITIVE_INFINITY, comment: '' });
    assert.equal(await grants.closeAll('ssh', 'by hand'), 2);
    assert.deepEqual([firewall.standing.size, grants.live()], [0, []]);
  });

  test('a door that a configuration has no more ends its grants, with its own hooks', async () => {
    const { grants, told, hooks, rows } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    grants.configure([doorOf({ name: 'other' })]);
    assert.deepEqual([types(told).at(-1), told.at(-1)?.reason], ['closed', 'the door is gone']);
    assert.deepEqual([rows.all(), hooks.at(-1)], [[], 'ssh close 192.0.2.1 knock']);
  });
});

describe('the end of a grant', () => {
  test('asks nothing of a kernel that ends it by itself, but for the sessions of a `kill` door', async () => {
    for (const [close, expected] of [
      ['keep', 0],
      ['cut', 0],
      ['kill', 1],
    ] as const) {
      const { grants, firewall, clock, told, hooks } = scene({ close });
      await grants.open('ssh', ALICE, KNOCK);
      clock.advance(30 * SECOND);
      await settled();
      assert.equal(firewall.asked.filter((asked) => asked.startsWith('close')).length, expected, close);
      assert.deepEqual([types(told), hooks.length], [['opened', 'expired'], 2]);
    }
  });

  test('is ours where the kernel cannot, and is tried until it is done', async () => {
    const { grants, firewall, clock, told, rows } = scene({}, { expires: false });
    await grants.open('ssh', ALICE, KNOCK);
    firewall.refusing = 2;
    clock.advance(30 * SECOND);
    await settled();
    assert.deepEqual([types(told), rows.all().length, grants.live().length], [['opened', 'warned'], 1, 1]);
    clock.advance(10 * SECOND);
    await settled();
    clock.advance(10 * SECOND);
    await settled();
    assert.deepEqual([types(told), firewall.standing.size], [['opened', 'warned', 'warned', 'expired'], 0]);
    assert.deepEqual([rows.all(), grants.live()], [[], []]);
  });

  test('comes even if the timer was early', async () => {
    const early: (() => void)[] = [];
    const { firewall, rows, told, clock } = scene();
    const grants = new Grants(
      {
        driver: firewall,
        rows,
        closes: closesOf(firewall, clock),
        record: (event) => void told.push(event),
        hook: () => {},
        wallNow: clock.wallNow,
        monotonicNow: clock.monotonicNow,
        after: (_, call) => {
          early.push(call);
          return () => {};
        },
      },
      () => 64,
    );
    grants.configure([doorOf()]);
    await grants.open('ssh', ALICE, KNOCK);
    clock.advance(30 * SECOND - 0.5);
    early.at(-1)?.();
    await settled();
    assert.equal(grants.live().length, 1);
    clock.advance(0.5);
    early.at(-1)?.();
    await settled();
    assert.deepEqual(types(told), ['opened', 'expired']);
  });

  test('does not come when the books are let go: doors stand to their time', async () => {
    const { grants, firewall, clock, told } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    grants.release();
    clock.advance(60 * SECOND);
    await settled();
    assert.deepEqual([types(told), clock.timers, firewall.standing.size], [['opened'], 0, 1]);
  });
});

describe('at start', () => {
  const kernel = (left: number) => ({ door: 'ssh', source: ALICE, remaining: left, comment: 'by "hand"' });

  test('what kernel and state agree on is taken over, and ends by the time of the kernel', async () => {
    for (const [inState, inKernel] of [
      [10, 10],
      [20, 10],
      [1, 10],
      [-5, 10],
    ] as const) {
      const { grants, firewall, told, clock, hooks } = scene(
        {},
        { rows: [row({ left: inState * SECOND, user: 'alice' })] },
      );
      firewall.put(kernel(inKernel * SECOND));
      await grants.reconcile();
      assert.deepEqual(told, [{ type: 'adopted', door: 'ssh', source: '192.0.2.1', via: 'knock', user: 'alice' }]);
      clock.advance(10 * SECOND - 1);
      await settled();
      assert.deepEqual([sourcesOf(grants), firewall.asked, hooks], [['192.0.2.1'], [], []], `${inState} ${inKernel}`);
      clock.advance(1);
      await settled();
      assert.deepEqual([types(told), hooks], [['adopted', 'expired'], ['ssh close 192.0.2.1 knock']]);
    }
  });

  test('what only the kernel has is adopted, shown with its comment, and written down', async () => {
    const { grants, firewall, told, rows } = scene();
    firewall.put(kernel(10 * SECOND));
    firewall.put({ ...kernel(Number.POSITIVE_INFINITY), source: BOB, comment: '' });
    await grants.reconcile();
    assert.deepEqual(told, [
      { type: 'adopted', door: 'ssh', source: '192.0.2.1', via: 'adopted', detail: 'by "hand"' },
      { type: 'adopted', door: 'ssh', source: '192.0.2.2', via: 'adopted' },
    ]);
    assert.deepEqual(
      rows.all().map(({ source, longest }) => [source, longest]),
      [['192.0.2.1', 10 * SECOND]],
    );
    assert.deepEqual(sourcesOf(grants), ['192.0.2.1', '192.0.2.2']);
  });

  test('what the kernel has lost is opened for the rest of its time, never for more than it was given', async () => {
    for (const [left, expected] of [
      [10 * SECOND, 10 * SECOND],
      [365 * 86_400 * SECOND, 30 * SECOND],
    ] as const) {
      const { grants, firewall, told } = scene({}, { rows: [row({ left })] });
      await grants.reconcile();
      assert.deepEqual([firewall.asked, types(told)], [[`open ssh 192.0.2.1 ${expected}`], ['adopted']]);
      assert.deepEqual(sourcesOf(grants), ['192.0.2.1']);
    }
  });

  test('what the firewall does not take back is told and forgotten', async () => {
    const { grants, firewall, told, rows } = scene({}, { rows: [row()] });
    firewall.refusing = 1;
    await grants.reconcile();
    assert.deepEqual([types(told), rows.all(), grants.live()], [['denied'], [], []]);
  });

  test('what is over is ended: record, hook, sessions of a `kill` door', async () => {
    for (const [close, expected] of [
      ['keep', []],
      ['kill', ['close ssh 192.0.2.1']],
    ] as const) {
      const { grants, firewall, told, hooks, rows } = scene({ close }, { rows: [row({ left: -1 })] });
      await grants.reconcile();
      assert.deepEqual([firewall.asked, types(told)], [expected, ['expired']]);
      assert.deepEqual([hooks, rows.all()], [['ssh close 192.0.2.1 knock'], []]);
    }
  });

  test('where the kernel ends nothing, what is over is closed now, and what is not at its time', async () => {
    const rows = [row({ left: -1 }), row({ source: '192.0.2.2', left: 5 * SECOND })];
    const { grants, firewall, clock, told } = scene({}, { expires: false, rows });
    for (const source of [ALICE, BOB]) firewall.put({ ...kernel(Number.POSITIVE_INFINITY), source });
    await grants.reconcile();
    clock.advance(5 * SECOND);
    await settled();
    assert.deepEqual([firewall.standing.size, grants.live()], [0, []]);
    assert.equal(types(told).filter((type) => type === 'expired').length, 2);
  });

  test('rows of doors that are gone, and rows that cannot be read, are forgotten', async () => {
    const { grants, rows, told, firewall } = scene(
      {},
      { rows: [row({ door: 'gone' }), row({ source: 'rubbish', left: -1 })] },
    );
    await grants.reconcile();
    assert.deepEqual([rows.all(), grants.live(), firewall.asked], [[], [], []]);
    assert.deepEqual(types(told).sort(), ['closed', 'expired']);
  });
});

describe('after somebody removed the guard', () => {
  test('what lives is opened again for the rest of its time; what is being closed stays closed', async () => {
    const { grants, firewall, clock } = scene();
    await grants.open('ssh', ALICE, KNOCK);
    await grants.open('ssh', BOB, KNOCK);
    clock.advance(10 * SECOND);
    firewall.standing.clear();
    const go = firewall.hold();
    const closing = grants.close('ssh', BOB, 'by hand');
    const restoring = grants.restore();
    await settled();
    go();
    await Promise.all([closing, restoring]);
    assert.deepEqual([...firewall.standing.keys()], ['ssh 192.0.2.1']);
    assert.ok(firewall.asked.includes('open ssh 192.0.2.1 20000'));
    firewall.refusing = 1;
    await assert.rejects(grants.restore(), FirewallError);
  });
});

describe('order', () => {
  test('one source at one door: one after another; different ones do not wait', async () => {
    const { grants, firewall } = scene();
    const go = firewall.hold();
    const results = [
      grants.open('ssh', ALICE, KNOCK),
      grants.close('ssh', ALICE, 'by hand'),
      grants.open('ssh', ALICE, KNOCK),
      grants.open('ssh', BOB, KNOCK),
    ];
    await settled();
    assert.deepEqual(firewall.asked, ['open ssh 192.0.2.1 30000', 'open ssh 192.0.2.2 30000']);
    go();
    await Promise.all(results);
    const mine = firewall.asked.filter((asked) => asked.includes('192.0.2.1'));
    assert.deepEqual(
      mine.map((asked) => asked.split(' ')[0]),
      ['open', 'close', 'open'],
    );
    assert.deepEqual(sourcesOf(grants).sort(), ['192.0.2.1', '192.0.2.2']);
  });

  test('whatever is done in whatever order, books, rows and kernel agree, and nothing outlives its time', async () => {
    const sources = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
    const action = fc.record({
      what: fc.constantFrom('knock', 'hand', 'close', 'closeAll', 'wait', 'refuse', 'flush'),
      source: fc.constantFrom(...sources),
      time: fc.integer({ min: 1, max: 40 * SECOND }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 30 }), fc.constantFrom('keep', 'kill'), async (actions, close) => {
        const { grants, firewall, rows, clock } = scene({ close: close as 'keep' | 'kill', limit: 2 });
        const running: Promise<unknown>[] = [];
        for (const { what, source, time } of actions) {
          const from = parseAddress(source)!;
          if (what === 'knock') running.push(grants.open('ssh', from, KNOCK));
          if (what === 'hand') running.push(grants.open('ssh', from, { via: 'hand', duration: time }));
          if (what === 'close') running.push(grants.close('ssh', from, 'x').catch(() => {}));
          if (what === 'closeAll') running.push(grants.closeAll('ssh', 'x').catch(() => {}));
          if (what === 'refuse') firewall.refusing += 1;
          if (what === 'flush') {
            await Promise.all(running);
            firewall.refusing = 0;
            firewall.standing.clear();
            await grants.restore();
          }
          if (what === 'wait') {
            await Promise.all(running);
            clock.advance(time);
            await settled();
          }
        }
        await Promise.all(running);
        await settled();
        const standing = (await firewall.list()).grants.map(({ source }) => printAddress(source)).sort();
        assert.deepEqual(sourcesOf(grants).sort(), standing);
        assert.deepEqual(
          rows.all().map(({ source }) => source),
          standing,
        );
        firewall.refusing = 0;
        clock.advance(41 * SECOND);
        await settled();
        assert.deepEqual([grants.live(), rows.all(), (await firewall.list()).grants], [[], [], []]);
      }),
    );
  });
});
