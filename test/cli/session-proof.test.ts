import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judgeSession, type Witness } from '../../src/cli/session-proof.ts';
import { parseConnection } from '../../src/cli/ssh-session.ts';
import type { WireStatus } from '../../src/control/client.ts';
import type { WireEntry } from '../../src/control/wire-event.ts';
import { family, parseAddress, printAddress } from '../../src/core/address.ts';
import { networkOf } from '../../src/core/policy.ts';
import type { PendingChange } from '../../src/store/pending-change.ts';

const CHANGE: PendingChange = {
  token: 'a1',
  file: '/etc/postern/postern.toml',
  previous: '',
  since: 0,
  until: 60_000,
  sessions: ['192.0.2.7 40000'],
};

type Told = Pick<WireEntry, 'type'> & Partial<WireEntry>;

const APPLIED: Told = { type: 'applied', reason: 'a1' };
const opened = (door: string, source: string, via: 'knock' | 'hand' = 'knock'): Told => ({
  type: 'opened',
  door,
  source,
  via,
});

/** A daemon with the doors ssh, web and console (without a knock), which has written this down, in this order. */
function witness(told: readonly Told[], { prefix = 64, grants = [] as readonly string[] } = {}): Witness {
  const door = (name: string, ...protect: string[]) => ({
    name,
    protect,
    grants:
      name === 'ssh' ? grants.map((source) => ({ source, prefix, remaining_ms: 1000, via: 'knock' as const })) : [],
  });
  const entries = told.map((entry, id) => ({ ...entry, id, time: '2030-01-01T00:00:00.000Z' }));
  const placeOf = (source: string): string => {
    const address = parseAddress(source)!;
    return printAddress(networkOf(address, family(address) === 4 ? 32 : prefix));
  };
  return {
    status: async () =>
      ({
        doors: [door('ssh', 'udp/22', 'tcp/20-22'), door('web', 'tcp/443'), door('console', 'tcp/2222')],
      }) as unknown as WireStatus,
    show: async (name) => ({
      name,
      protect: [],
      open_for_ms: 1,
      renew: true,
      close: 'keep',
      ...(name !== 'console' && { steps: ['tcp/7000'] }),
    }),
    log: async ({ types = [], source, limit = 100 }) =>
      entries
        .filter(({ type }) => types.includes(type))
        .filter((entry) => source === undefined || entry.source === source || entry.source === placeOf(source))
        .slice(-limit),
  };
}

const judge = (connection: string, by: Witness): Promise<void> =>
  judgeSession(parseConnection(`${connection.replace('>', '192.0.2.1')}`)!, CHANGE, by);

describe('a session proves the new way in', () => {
  test('when its address has knocked on its own door since the change', async () => {
    await judge('192.0.2.7 50000 > 22', witness([APPLIED, opened('ssh', '192.0.2.7')]));
    await judge('192.0.2.7 50000 > 22', witness([APPLIED, { ...opened('ssh', '192.0.2.7'), type: 'renewed' }]));
    await judge('192.0.2.7 50000 > 2222', witness([APPLIED, opened('console', '192.0.2.7', 'hand')]));
  });

  test('and not by what was before, by another door, by hand, by another trial, or by coming in elsewhere', async () => {
    const mine = opened('ssh', '192.0.2.7');
    const cases: readonly (readonly [string, Witness, RegExp])[] = [
      ['192.0.2.7 40000 > 22', witness([APPLIED, mine]), /older than the change: it says/],
      ['192.0.2.7 50000 > 22', witness([mine, APPLIED]), /has not knocked on door ssh since/],
      [
        '192.0.2.7 50000 > 22',
        witness([mine, APPLIED, opened('web', '192.0.2.7')], { grants: ['192.0.2.7'], prefix: 32 }),
        /The grant of 192\.0\.2\.7 is older than the change/,
      ],
      ['192.0.2.7 50000 > 22', witness([APPLIED, { ...mine, type: 'adopted' }]), /has not knocked/],
      ['192.0.2.7 50000 > 22', witness([APPLIED, opened('web', '192.0.2.7')]), /has not knocked on door ssh/],
      ['192.0.2.8 50000 > 22', witness([APPLIED, mine]), /192\.0\.2\.8 has not knocked/],
      [
        '192.0.2.7 50000 > 22',
        witness([APPLIED, opened('ssh', '192.0.2.7', 'hand')], { grants: ['192.0.2.7'], prefix: 32 }),
        /let in by hand/,
      ],
      ['192.0.2.7 50000 > 8022', witness([APPLIED]), /192\.0\.2\.7 has not knocked on door ssh, web, console/],
      ['192.0.2.7 50000 > 22', witness([mine]), /does not know of this change/],
      ['192.0.2.7 50000 > 22', witness([APPLIED, { ...APPLIED, reason: 'b2' }, mine]), /does not know/],
    ];
    for (const [connection, by, expected] of cases) await assert.rejects(judge(connection, by), expected);
  });

  test('over IPv6, from the very network that the grant is for', async () => {
    const wide = { prefix: 56, grants: ['2001:db8:1:100::'] };
    await judge('2001:db8:1:1ab::2 50000 > 22', witness([APPLIED, opened('ssh', '2001:db8:1:100::')], wide));
    await assert.rejects(
      judge('2001:db8:1:1ab::2 50000 > 22', witness([opened('ssh', '2001:db8:1:100::'), APPLIED], wide)),
      /The grant of 2001:db8:1:1ab::2 is older/,
    );
    const neighbour = witness([APPLIED, opened('ssh', '2001:db8::')], { grants: ['2001:db8::'] });
    await assert.rejects(judge('2001:db8:5:6::2 50000 > 22', neighbour), /2001:db8:5:6::2 has not knocked/);
    await judge('2001:db8::9 50000 > 22', neighbour);
  });
});
