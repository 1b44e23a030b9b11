/** The guard as `nft -j` lists it and as `iptables-save` prints it (`hosts/guard-*`: recorded): whole, and after somebody has been at it. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Face } from '../../src/firewall/driver.ts';
import { type GuardFault, judgeGuard } from '../../src/firewall/guard-judgement.ts';
import { doorPolicy } from '../support/firewall-contract.ts';

const recorded = (name: string): string => readFileSync(join(import.meta.dirname, 'hosts', name), 'utf8');
const DOORS = [doorPolicy('ssh', ['tcp/22']), doorPolicy('vpn', ['udp/51820', 'tcp/8000-8010'])];

function described(faults: readonly GuardFault[] | undefined): readonly string[] | undefined {
  return faults?.map((fault) => {
    if (fault.what === 'missing') return 'missing';
    const { protocol, first } = fault.segment;
    if (fault.what === 'open') return `${protocol}/${first} ${fault.certain ? 'open' : 'doubtful'} ${fault.versions}`;
    return `${protocol}/${first} shut to ${fault.door} ${fault.version}`;
  });
}

type Entry = Readonly<Record<string, { name?: string; chain?: string; handle?: number; elem?: unknown }>>;

function nft(face: 'drop' | 'mirror', change: (entries: Entry[]) => Entry[] = (all) => all, doors = DOORS) {
  const { nftables } = JSON.parse(recorded(`guard-${face}.nft`)) as { nftables: Entry[] };
  const expected = { doors, driver: 'nftables', face, observe: false };
  return described(judgeGuard(expected, { nft: JSON.stringify({ nftables: change(nftables) }), iptables: [] }));
}

describe('the guard of nftables', () => {
  test('that stands as it should has no fault', () => {
    for (const face of ['drop', 'mirror'] as const) assert.deepEqual(nft(face), []);
  });

  test('whose map has lost an element: IPv6 is open while IPv4 is guarded', () => {
    const without = (all: Entry[]) =>
      all.map((entry) => (entry.map?.name?.endsWith('_tcp6') ? { map: { ...entry.map, elem: [] } } : entry));
    assert.deepEqual(nft('drop', without), ['tcp/22 open 6']);
  });

  test('that is not there, or has lost its hook', () => {
    assert.deepEqual(
      nft('drop', () => []),
      ['missing'],
    );
    const unhooked = nft('drop', (all) => all.filter(({ chain }) => chain?.name !== 'prerouting'));
    assert.deepEqual(unhooked, ['tcp/22 open 4,6', 'tcp/8000 open 4,6', 'udp/51820 open 4,6']);
  });

  test('that somebody has put a rule into', () => {
    const rule = (expr: object[]) => ({ rule: { family: 'inet', table: 'postern', chain: 'prerouting', expr } });
    const first = (expr: object[]) => (all: Entry[]) => {
      const at = all.findIndex((entry) => 'rule' in entry);
      return [...all.slice(0, at), rule(expr) as unknown as Entry, ...all.slice(at)];
    };
    assert.equal(nft('drop', first([{ accept: null }]))?.length, 3);
    const lan = { match: { op: '==', left: { meta: { key: 'iifname' } }, right: 'eth1' } };
    assert.equal(nft('drop', first([lan, { accept: null }]))?.[0], 'tcp/22 doubtful 4,6');
  });

  test('in which no rule asks for the grants of a door', () => {
    const without = (all: Entry[]) => all.filter(({ rule }) => !JSON.stringify(rule ?? {}).includes('@open6_ssh'));
    assert.deepEqual(nft('drop', without), ['tcp/22 shut to ssh 6']);
  });

  test('that was made for other doors', () => {
    assert.deepEqual(nft('drop', undefined, [...DOORS, doorPolicy('web', ['tcp/80'])]), [
      'tcp/80 open 4,6',
      'tcp/80 shut to web 4',
      'tcp/80 shut to web 6',
    ]);
  });
});

describe('the guard of iptables', () => {
  const saved = (face: Face, change: (text: string, version: 4 | 6) => string = (text) => text) => {
    const texts = [
      { version: 4, text: recorded(`guard-${face}.iptables`) },
      { version: 6, text: recorded(`guard-${face}.ip6tables`) },
    ] as const;
    const iptables = texts.map(({ version, text }) => ({
      version,
      source: 'iptables' as const,
      text: change(text, version),
    }));
    return described(judgeGuard({ doors: DOORS, driver: 'iptables', face, observe: false }, { iptables }));
  };

  test('that stands as it should has no fault, whatever it answers', () => {
    for (const face of ['drop', 'reset'] as const) assert.deepEqual(saved(face), []);
  });

  test('that is missing in one family, or in both', () => {
    const open = ['tcp/22 open 6', 'tcp/8000 open 6', 'udp/51820 open 6'];
    assert.deepEqual(
      saved('drop', (text, version) => (version === 6 ? '*mangle\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n' : text)),
      open,
    );
    assert.deepEqual(
      saved('drop', () => ''),
      ['missing'],
    );
  });

  test('whose hook, chain or grants somebody took away, or came before', () => {
    const tcp = (line: string) => (text: string) => text.replace(`\n${line}`, '');
    assert.equal(saved('drop', tcp('-A PREROUTING -j POSTERN'))?.length, 3);
    assert.deepEqual(saved('drop', tcp('-A POSTERN-tcp-22 -g POSTERN-closed-tcp')), ['tcp/22 open 4,6']);
    assert.deepEqual(saved('drop', tcp('-A POSTERN-tcp-22 -m set --match-set postern4-ssh src -j RETURN')), [
      'tcp/22 shut to ssh 4',
    ]);
    const before = (text: string) => text.replace('\n-A PREROUTING', '\n-A PREROUTING -p tcp -j ACCEPT\n-A PREROUTING');
    assert.deepEqual(saved('drop', before), ['tcp/22 open 4,6', 'tcp/8000 open 4,6']);
  });

  test('that answers, without what stops the packets that it has marked', () => {
    const without = (text: string) =>
      text.replace('\n-A INPUT -j POSTERN\n-A FORWARD -j POSTERN\n-A POSTERN -m mark', '');
    assert.equal(saved('reset', without)?.length, 3);
  });
});

test('other firewalls, and rules that could not be read, are not judged', () => {
  const expected = { doors: DOORS, driver: 'nftables', face: 'drop', observe: false } as const;
  assert.equal(judgeGuard(expected, { iptables: [] }), undefined);
  assert.equal(judgeGuard({ ...expected, driver: 'command' }, { nft: '{}', iptables: [] }), undefined);
});

test('a guard that only observes closes nothing', () => {
  const text = recorded('guard-drop.nft');
  const expected = { doors: [doorPolicy('web', ['tcp/80'])], driver: 'nftables', face: 'drop', observe: true } as const;
  assert.deepEqual(judgeGuard(expected, { nft: text, iptables: [] }), []);
});
