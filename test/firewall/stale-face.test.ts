/** Closed ports against the unused ports of a host whose rules were changed since; hosts as their administrators write them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import type { HostListing } from '../../src/firewall/host-listing.ts';
import { type ClosedPorts, judgeFace } from '../../src/firewall/stale-face.ts';
import { judgeAnswers } from '../../src/firewall/unused-ports.ts';

type Driver = 'nftables' | 'iptables';

/** An input chain of the host's own beside the guard, which is not to be taken for the host's. */
function nft(policy: 'accept' | 'drop', ...rules: readonly object[][]): HostListing {
  const chain = (family: string, table: string, name: string, base: object): object => ({
    chain: { family, table, name, type: 'filter', prio: 0, ...base },
  });
  const entries = [
    { table: { family: 'inet', name: 'postern' } },
    chain('inet', 'postern', 'guard', { hook: 'prerouting', policy: 'drop' }),
    { table: { family: 'inet', name: 'own' } },
    chain('inet', 'own', 'in', { hook: 'input', policy }),
    ...rules.map((expr) => ({ rule: { family: 'inet', table: 'own', chain: 'in', expr } })),
  ];
  return { nft: JSON.stringify({ nftables: entries }), iptables: [] };
}

function saved(policy: string, rules = '', versions: readonly (4 | 6)[] = [4, 6]): HostListing {
  const text = `*filter\n:INPUT ${policy} [0:0]\n${rules}COMMIT\n`;
  return { iptables: versions.map((version) => ({ version, source: 'iptables', text })) };
}

const protocol = (right: string): object => ({
  match: { op: '==', left: { meta: { key: 'l4proto' } }, right },
});
const REFUSES = nft('accept');
const DROPS = nft('drop');
const RESETS_BY_RULE = nft('accept', [protocol('tcp'), { reject: { type: 'tcp reset' } }]);
const DROPS_UDP = nft('accept', [protocol('udp'), { drop: null }]);
const PROHIBITS = nft('accept', [{ reject: { type: 'icmpx', expr: 'admin-prohibited' } }]);
const IN_DOUBT = nft('drop', [{ wonder: null }, { accept: null }]);
const NONE: HostListing = { iptables: [] };

/** A guard as it is made on that host. */
function guardOn(
  listing: HostListing,
  change: Partial<ClosedPorts> = {},
  protect = 'tcp/22',
  face = 'auto',
): ClosedPorts {
  const parsed = parsePosternToml(`[firewall]\nface = "${face}"\n[door.ssh]\nprotect = ["${protect}"]\n`, {
    file: 'postern.toml',
  });
  assert.ok(parsed.ok);
  const { doors, firewall } = parsed.config;
  const closed = judgeAnswers(listing);
  const made = { face: firewall.face, ...(closed && { closed }) };
  return { doors, driver: 'nftables', observe: false, made, ...change };
}

const judge = async (guard: ClosedPorts, listing: HostListing): Promise<string | undefined> =>
  (await judgeFace(guard, listing, []))[0]?.message.replace(/^What this host answers at unused ports is not .*: /, '');

describe('what a scan sees of closed ports', () => {
  test('a host that goes on as it was says nothing', async () => {
    for (const listing of [REFUSES, DROPS, RESETS_BY_RULE, DROPS_UDP, PROHIBITS, IN_DOUBT])
      for (const face of ['auto', 'mirror', 'drop', 'reset'])
        assert.deepEqual(await judgeFace(guardOn(listing, {}, 'tcp/22', face), listing, []), []);
  });

  test('a chain with policy drop, added while ports refuse, is told with what mends it', async () => {
    assert.deepEqual(await judgeFace(guardOn(REFUSES), DROPS, []), [
      {
        severity: 'warning',
        message:
          'What this host answers at unused ports is not what closed ports answer, so a scan sees which are guarded: over IPv4 a SYN gets nothing at unused ports, a reset at closed ones',
        hint: 'postern reload',
      },
    ]);
  });

  test('and so are rules that went, and others that answer', async () => {
    assert.equal(
      await judge(guardOn(DROPS), REFUSES),
      'over IPv4 a SYN gets a reset at unused ports, nothing at closed ones',
    );
    assert.equal(
      await judge(guardOn(PROHIBITS), REFUSES),
      'over IPv4 a SYN gets a reset at unused ports, ICMP admin-prohibited at closed ones',
    );
  });

  test('a guard made where nothing could be read is silent: that differs from a host that refuses', async () => {
    assert.equal(
      await judge(guardOn(NONE), REFUSES),
      'over IPv4 a SYN gets a reset at unused ports, nothing at closed ones',
    );
    assert.equal(await judge(guardOn(NONE), DROPS), undefined);
  });

  test('who sends a reset is no difference', async () => {
    assert.equal(await judge(guardOn(REFUSES), RESETS_BY_RULE), undefined);
    assert.equal(await judge(guardOn(RESETS_BY_RULE), REFUSES), undefined);
  });

  test('only the protocols of doors count', async () => {
    assert.equal(await judge(guardOn(REFUSES), DROPS_UDP), undefined);
    assert.equal(
      await judge(guardOn(REFUSES, {}, 'udp/53'), DROPS_UDP),
      'over IPv4 a datagram gets nothing at unused ports, ICMP port-unreachable at closed ones',
    );
  });

  test('with mirror the host itself answers new connections; other segments are told of', async () => {
    assert.equal(
      await judge(guardOn(REFUSES, {}, 'tcp/22', 'mirror'), DROPS),
      'over IPv4 a FIN of no session gets nothing at unused ports, a reset at closed ones',
    );
    const syn = { match: { op: '==', left: { ct: { key: 'state' } }, right: 'new' } };
    const onlyNew = nft('accept', [syn, { drop: null }]);
    assert.notEqual(await judge(guardOn(REFUSES), onlyNew), undefined);
    assert.equal(await judge(guardOn(REFUSES, {}, 'tcp/22', 'mirror'), onlyNew), undefined);
  });

  test('faces and firewalls that follow no host, and guards that close nothing, are not compared', async () => {
    for (const face of ['drop', 'reset'])
      for (const listing of [REFUSES, DROPS])
        assert.equal(await judge(guardOn(REFUSES, {}, 'tcp/22', face), listing), undefined);
    for (const driver of ['pf', 'ipfw', 'command'])
      assert.equal(await judge(guardOn(REFUSES, { driver }), { ...DROPS, ...saved('DROP') }), undefined);
    assert.equal(await judge(guardOn(REFUSES, { observe: true }), DROPS), undefined);
    assert.equal(await judge(guardOn(REFUSES, { doors: [] }), DROPS), undefined);
  });

  test('rules that cannot be read, and rules that do not tell, say nothing', async () => {
    const cases: readonly (readonly [Driver, HostListing])[] = [
      ['nftables', NONE],
      ['nftables', saved('DROP')],
      ['iptables', NONE],
      ['iptables', DROPS],
      ['nftables', IN_DOUBT],
    ];
    for (const [driver, listing] of cases) assert.equal(await judge(guardOn(REFUSES, { driver }), listing), undefined);
  });

  test('with iptables each family is compared where it can be read', async () => {
    const made = guardOn(saved('ACCEPT'), { driver: 'iptables' });
    assert.equal(
      await judge(made, saved('DROP', '', [6])),
      'over IPv6 a SYN gets nothing at unused ports, a reset at closed ones',
    );
    assert.equal(await judge(made, saved('ACCEPT', '', [4])), undefined);
    const ours = ':POSTERN - [0:0]\n-A INPUT -j POSTERN\n-A POSTERN -j DROP\n';
    assert.equal(await judge(made, saved('ACCEPT', ours)), undefined);
  });
});
