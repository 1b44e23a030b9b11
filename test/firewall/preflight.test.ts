/** Hosts as their own tools print them (`hosts/`: recorded from Debian's ufw), and as an administrator may have written them. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { HostListing } from '../../src/firewall/host-listing.ts';
import type { Probe } from '../../src/firewall/host-rules.ts';
import { walk } from '../../src/firewall/host-rules.ts';
import { parseIptablesSave } from '../../src/firewall/iptables-save.ts';
import { nftTables, parseNftListing } from '../../src/firewall/nft-listing.ts';
import { judgeHost, judgeMirror, preflight } from '../../src/firewall/preflight.ts';
import { doorPolicy } from '../support/firewall-contract.ts';

const recorded = (name: string): string => readFileSync(join(import.meta.dirname, 'hosts', name), 'utf8');
const KNOCK = { window: 1000, strays: 0, tcpFlags: { set: 0, clear: 0 } };
const SSH: Probe = { version: 4, protocol: 'tcp', port: 22 };

/** What becomes of a packet to tcp/22 in `INPUT`. */
function inputFates(rules: string, policy = 'DROP', probe = SSH): string[] {
  const [table] = parseIptablesSave(
    `*filter\n:INPUT ${policy} [0:0]\n:own - [0:0]\n${rules}\nCOMMIT\n`,
    probe,
    'iptables',
  );
  return [...walk(table!, table!.chains[0]!).fates].sort();
}

describe('iptables rules', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['', ['drop']],
    ['-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT', ['accept']],
    ['-A INPUT -p udp -m udp --dport 22 -j ACCEPT', ['drop']],
    ['-A INPUT -p tcp -m tcp --dport 20:25 -j ACCEPT', ['accept']],
    ['-A INPUT -p tcp -m multiport --dports 80,443,20:25 -j ACCEPT', ['accept']],
    ['-A INPUT -p tcp -m multiport ! --dports 22 -j ACCEPT', ['drop']],
    ['-A INPUT ! -p tcp -j ACCEPT', ['drop']],
    ['-A INPUT -i lo -j ACCEPT', ['drop']],
    ['-A INPUT ! -i lo -j ACCEPT', ['accept']],
    ['-A INPUT -i eth0 -j ACCEPT', ['accept', 'drop']],
    ['-A INPUT -s 192.0.2.0/24 -j ACCEPT', ['accept', 'drop']],
    ['-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', ['drop']],
    ['-A INPUT -m state --state NEW -p tcp --dport 22 -j ACCEPT', ['accept']],
    ['-A INPUT -m limit --limit 3/min -j ACCEPT', ['accept', 'drop']],
    ['-A INPUT -m comment --comment "-j DROP everything" -p tcp --dport 22 -j ACCEPT', ['accept']],
    ['-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT', ['accept']],
    ['-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT', ['drop']],
    ['-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j ACCEPT', ['drop']],
    ['-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,FOO SYN -j ACCEPT', ['accept', 'drop']],
    ['-A INPUT -m conntrack --ctstate INVALID -j ACCEPT', ['drop']],
    ['-A INPUT -m conntrack --ctstatus DNAT -j ACCEPT', ['drop']],
    ['-A INPUT -j LOG --log-prefix "[x] " --log-level 4', ['drop']],
    ['-A INPUT -p tcp -j REJECT --reject-with tcp-reset', ['reset']],
    ['-A INPUT -j REJECT', ['icmp port-unreachable']],
    ['-A INPUT -j REJECT --reject-with icmp-proto-unreachable', ['icmp prot-unreachable']],
    ['-A INPUT -j REJECT --reject-with icmp-from-the-future', ['unknown']],
    ['-A INPUT -j own\n-A own -p tcp --dport 22 -j RETURN\n-A own -j DROP\n-A INPUT -j ACCEPT', ['accept']],
    ['-A INPUT -g own\n-A own -p tcp --dport 80 -j ACCEPT\n-A INPUT -j ACCEPT', ['drop']],
    ['-A INPUT -j own\n-A own -j own', ['unknown']],
    ['-A INPUT -j nosuch', ['unknown']],
    ['-A INPUT -j NFQUEUE --queue-num 0', ['unknown']],
    ['-A INPUT -m set --match-set admins src -j ACCEPT', ['accept', 'drop']],
    ['-A INPUT -m rpfilter --validmark --invert -j DROP\n-A INPUT -j ACCEPT', ['accept']],
  ];
  for (const [rules, fates] of cases) {
    test(rules || 'no rule: the policy', () => assert.deepEqual(inputFates(rules), fates));
  }

  const six: Probe = { ...SSH, version: 6 };
  const stray: Probe = { ...SSH, state: 'invalid', flags: ['fin', 'psh', 'urg'] };
  for (const [rules, probe, expected] of [
    ['-A INPUT -j REJECT', six, 'icmp port-unreachable'],
    ['-A INPUT -j REJECT --reject-with icmp6-adm-prohibited', six, 'icmp admin-prohibited'],
    ['-A INPUT -j REJECT --reject-with icmp-host-prohibited', six, 'unknown'],
    ['-A INPUT -m state --state INVALID -j REJECT', stray, 'icmp port-unreachable'],
    ['-A INPUT -m conntrack --ctstate NEW,RELATED -j ACCEPT', stray, 'drop'],
    ['-A INPUT -p tcp -m tcp --tcp-flags ALL FIN,PSH,URG -j ACCEPT', stray, 'accept'],
    ['-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT', { ...SSH, flags: ['ack'] }, 'drop'],
    ['-A INPUT -m conntrack --ctstate DNAT -j ACCEPT', { ...SSH, led: true }, 'accept'],
    ['-A INPUT -s 192.0.2.0/24 -j ACCEPT', { ...SSH, stranger: true }, 'drop'],
    ['-A INPUT ! -s 192.0.2.0/24 -j ACCEPT', { ...SSH, stranger: true }, 'accept'],
    ['-A INPUT -m set --match-set admins src -j ACCEPT', { ...SSH, stranger: true }, 'drop'],
  ] as const) {
    const { version, ...of } = probe;
    const name = `${rules}, for ${JSON.stringify(of)} over IPv${version}`;
    test(name, () => assert.deepEqual(inputFates(rules, 'DROP', probe), [expected]));
  }

  test("ufw's own rules are understood to the end", () => {
    for (const [version, name] of [
      [4, 'ufw.iptables'],
      [6, 'ufw.ip6tables'],
    ] as const) {
      const fates = (protocol: 'tcp' | 'udp', port: number): string[] => {
        const [table] = parseIptablesSave(recorded(name), { version, protocol, port }, 'iptables');
        return [...walk(table!, table!.chains.find((chain) => chain.name === 'INPUT')!).fates];
      };
      assert.deepEqual([fates('tcp', 22), fates('tcp', 80), fates('udp', 80)], [['drop'], ['accept'], ['drop']]);
    }
  });
});

describe('nft listings', () => {
  const listing = (...expressions: readonly object[][]): string =>
    JSON.stringify({
      nftables: [
        { metainfo: {} },
        { table: { family: 'inet', name: 'own' } },
        { chain: { family: 'inet', table: 'own', name: 'in', hook: 'input', type: 'filter', prio: 0, policy: 'drop' } },
        { chain: { family: 'inet', table: 'own', name: 'more' } },
        ...expressions.map((expr) => ({ rule: { family: 'inet', table: 'own', chain: 'in', expr } })),
        { rule: { family: 'inet', table: 'own', chain: 'more', expr: [{ accept: null }] } },
      ],
    });
  const fates = (expr: object[], probe = SSH): string[] => {
    const [table] = nftTables(parseNftListing(listing(expr)), probe);
    return [...walk(table!, table!.chains[0]!).fates].sort();
  };
  const match = (left: object, right: unknown, op = '=='): object => ({ match: { op, left, right } });
  const dport = { payload: { protocol: 'tcp', field: 'dport' } };
  const cases: readonly (readonly [string, object[], readonly string[]])[] = [
    ['a port', [match(dport, 22), { accept: null }], ['accept']],
    ['another port', [match(dport, 23), { accept: null }], ['drop']],
    ['a range', [match(dport, { range: [20, 30] }), { accept: null }], ['accept']],
    ['a set of ports and ranges', [match(dport, { set: [80, { range: [20, 30] }] }), { accept: null }], ['accept']],
    ['not a port', [match(dport, 22, '!='), { accept: null }], ['drop']],
    ['a named set', [match(dport, '@ports'), { accept: null }], ['accept', 'drop']],
    ['any transport', [match({ payload: { protocol: 'th', field: 'dport' } }, 22), { accept: null }], ['accept']],
    ['a port of UDP', [match({ payload: { protocol: 'udp', field: 'dport' } }, 22), { accept: null }], ['drop']],
    ['conntrack', [match({ ct: { key: 'state' } }, ['established', 'related'], 'in'), { accept: null }], ['drop']],
    [
      'an address',
      [match({ payload: { protocol: 'ip', field: 'saddr' } }, '192.0.2.1'), { accept: null }],
      ['accept', 'drop'],
    ],
    ['a jump', [match(dport, 22), { counter: {} }, { jump: { target: 'more' } }], ['accept']],
    [
      'a verdict map',
      [
        {
          vmap: {
            key: dport,
            data: {
              set: [
                [22, { accept: null }],
                [23, { drop: null }],
              ],
            },
          },
        },
      ],
      ['accept'],
    ],
    ['a named verdict map', [{ vmap: { key: dport, data: '@ports' } }], ['drop', 'unknown']],
    ['something from the future', [{ wonder: { at: 1 } }, { accept: null }], ['accept', 'drop']],
    ['a reset', [{ reject: { type: 'tcp reset' } }], ['reset']],
    ['another refusal', [{ reject: { type: 'icmpx', expr: 'admin-prohibited' } }], ['icmp admin-prohibited']],
    ['a refusal of the family', [{ reject: { type: 'icmp', expr: 'net-prohibited' } }], ['icmp net-prohibited']],
    ['the usual refusal', [{ reject: null }], ['icmp port-unreachable']],
    ['a refusal from the future', [{ reject: { type: 'icmpx', expr: 99 } }], ['unknown']],
  ];
  for (const [name, expr, expected] of cases) test(name, () => assert.deepEqual(fates(expr), expected));

  const flags = { payload: { protocol: 'tcp', field: 'flags' } };
  const syn = { '&': [flags, ['fin', 'syn', 'rst', 'ack']] };
  const all = { '&': [flags, { '|': [{ '|': ['fin', 'syn'] }, 'ack'] }] };
  const state = { ct: { key: 'state' } };
  const invalid: Probe = { ...SSH, state: 'invalid', flags: ['fin', 'ack'] };
  const probed: readonly (readonly [string, object, Probe, string])[] = [
    ['a SYN', match(syn, 'syn'), SSH, 'accept'],
    ['not a SYN', match(syn, 'syn', '!='), SSH, 'drop'],
    ['an ACK is no SYN', match(syn, 'syn', '!='), { ...SSH, flags: ['ack'] }, 'accept'],
    ['several flags', match(all, ['fin', 'ack']), invalid, 'accept'],
    ['any of the flags', match(flags, ['fin', 'syn'], 'in'), invalid, 'accept'],
    ['no flags', match(flags, 0), invalid, 'drop'],
    ['flags of TCP, for UDP', match(syn, 'syn', '!='), { ...SSH, protocol: 'udp' }, 'accept'],
    ['an invalid packet', match(state, 'invalid', 'in'), invalid, 'accept'],
    ['an invalid packet is not new', match(state, ['new', 'established'], 'in'), invalid, 'drop'],
    [
      'the interface',
      match({ meta: { key: 'iifname' } }, { set: ['eth0', 'wg*'] }),
      { ...SSH, from: ['wg1'] },
      'accept',
    ],
    ['another interface', match({ meta: { key: 'iifname' } }, 'docker0'), { ...SSH, from: ['eth0'] }, 'drop'],
    ['what NAT has led', match({ ct: { key: 'status' } }, 'dnat', 'in'), { ...SSH, led: true }, 'accept'],
    [
      'a source that is named, for a stranger',
      match({ payload: { protocol: 'ip', field: 'saddr' } }, '@admins'),
      { ...SSH, stranger: true },
      'drop',
    ],
  ];
  for (const [name, expr, probe, expected] of probed) {
    test(name, () => assert.deepEqual(fates([expr, { accept: null }], probe), [expected]));
  }

  test('where DNAT leads a port is told apart from where it leads others, in maps too', () => {
    const key = { concat: [{ payload: { protocol: 'ip', field: 'daddr' } }, dport] };
    const pair = (port: number): object => ({ concat: ['198.51.100.1', port] });
    const ledTo = (...expr: object[]): string[] => {
      const [table] = nftTables(parseNftListing(listing(expr)), SSH);
      return [...walk(table!, table!.chains[0]!).led];
    };
    const map = (of: object, ...set: unknown[][]): object => ({ dnat: { addr: { map: { key: of, data: { set } } } } });
    assert.deepEqual(ledTo(match(dport, 22), { dnat: { addr: '172.17.0.2', port: 80 } }), ['172.17.0.2:80']);
    assert.deepEqual(ledTo(match(dport, 23), { dnat: { addr: '172.17.0.2', port: 80 } }), []);
    assert.deepEqual(ledTo(map(dport, [22, '172.17.0.2'], [80, '172.17.0.3'])), ['172.17.0.2']);
    const target = { concat: ['172.17.0.2', 80] };
    assert.deepEqual(ledTo(map(key, [pair(22), target])), ['172.17.0.2:80']);
    assert.deepEqual(ledTo(map(key, [pair(80), target])), []);
    assert.deepEqual(ledTo({ dnat: { addr: { map: { key: dport, data: '@ports' } } } }), ['…']);
  });

  test('whatever JSON nft may print one day, it is read without an error', () => {
    fc.assert(
      fc.property(
        fc.array(fc.dictionary(fc.constantFrom('match', 'vmap', 'jump', 'accept', 'dnat', 'reject'), fc.jsonValue())),
        (expr) => {
          fates(expr);
        },
      ),
    );
  });
});

describe('findings', () => {
  const ufw: HostListing = {
    iptables: [
      { version: 4, source: 'iptables', text: recorded('ufw.iptables') },
      { version: 6, source: 'iptables', text: recorded('ufw.ip6tables') },
    ],
  };

  test('ufw refuses what was not allowed, and the hint is its own command', () => {
    assert.deepEqual(judgeHost([doorPolicy('ssh', ['tcp/22']), doorPolicy('web', ['tcp/80'])], ufw), [
      {
        severity: 'error',
        message:
          'Port tcp/22 of door "ssh": ufw (chain INPUT of iptables) refuses a granted client, too, over IPv4 and IPv6',
        hint: 'ufw allow 22/tcp # once the guard stands: it decides who gets that far',
      },
    ]);
    assert.match(judgeHost([doorPolicy('x', ['udp/5000-5010'])], ufw)[0]!.hint, /^ufw allow 5000:5010\/udp # /);
  });

  test('a host without rules refuses nobody', () => {
    const bare: HostListing = { nft: '{"nftables": []}', iptables: [] };
    assert.deepEqual(judgeHost([doorPolicy('ssh', ['tcp/22'])], bare), []);
  });

  test('face `mirror` is warned of where a service would answer, and where what NAT has led is let in', () => {
    const host = (rule: string): HostListing => ({
      iptables: [{ version: 4, source: 'iptables', text: `*filter\n:INPUT DROP [0:0]\n${rule}\nCOMMIT\n` }],
    });
    const severities = (rule: string, ...listening: number[]): string[] =>
      judgeMirror(host(rule), listening).map(({ severity, hint }) => `${severity}: ${hint}`);
    assert.deepEqual(severities('-A INPUT -p tcp --dport 80 -j ACCEPT', 22), []);
    assert.deepEqual(severities('-A INPUT -m conntrack --ctstatus DNAT -j ACCEPT'), ['warning: use face "auto"']);
    assert.deepEqual(severities('', 1), ['error: use face "auto", "drop" or "reset"']);
  });

  test('one finding tells of both families, though each refuses in a way of its own', () => {
    const reject = (version: 4 | 6) => ({
      version,
      source: 'iptables' as const,
      text: `*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j REJECT --reject-with ${version === 4 ? 'icmp-host-prohibited' : 'icmp6-no-route'}\nCOMMIT\n`,
    });
    const found = judgeHost([doorPolicy('ssh', ['tcp/22'])], { iptables: [reject(4), reject(6)] });
    assert.deepEqual(
      found.map(({ message }) => message),
      ['Port tcp/22 of door "ssh": chain INPUT of iptables refuses a granted client, too, over IPv4 and IPv6'],
    );
  });

  test('nftables rules beside those of iptables, in a table of the same name, are seen: what is led, and what is dropped', () => {
    const chain = (table: string, name: string, hook: string, policy: string): object => ({
      chain: { family: 'ip', table, name, hook, type: table, prio: 0, policy },
    });
    const match = (port: number): object => ({
      match: { op: '==', left: { payload: { protocol: 'tcp', field: 'dport' } }, right: port },
    });
    const dnat = (port: number): object => ({
      rule: {
        family: 'ip',
        table: 'nat',
        chain: 'pre',
        expr: [match(port), { dnat: { addr: '172.17.0.2', port: 80 } }],
      },
    });
    const tables = ['nat', 'filter'].map((name) => ({ table: { family: 'ip', name } }));
    const nftables = [
      ...tables,
      chain('nat', 'pre', 'prerouting', 'accept'),
      chain('filter', 'input', 'input', 'drop'),
      dnat(8080),
      dnat(7000),
    ];
    const text = '*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n';
    const listing: HostListing = {
      nft: JSON.stringify({ nftables }),
      iptables: [{ version: 4, source: 'iptables', text }],
    };
    const steps = [7000, 7001].map((port) => ({ protocol: 'tcp', port }) as const);
    const web = doorPolicy('web', ['tcp/8080']);
    const found = judgeHost(
      [{ ...web, knock: { ...KNOCK, name: 'web', steps } }, doorPolicy('ssh', ['tcp/22'])],
      listing,
    );
    assert.deepEqual(
      found.map(({ severity, message }) => [severity, message]),
      [
        [
          'error',
          'Port tcp/22 of door "ssh": chain "input" of nftables table "ip filter" refuses a granted client, too, over IPv4',
        ],
        [
          'note',
          'Port tcp/8080 of door "web" is led to 172.17.0.2:80, as container ports are: the guard comes before that',
        ],
        [
          'warning',
          'Step tcp/7000 of door "web" is led to 172.17.0.2:80 by this host\'s own rules (DNAT): whoever uses what is there knocks',
        ],
      ],
    );
  });

  test('our own table is not somebody else', () => {
    const own = {
      nftables: [
        { table: { family: 'inet', name: 'postern' } },
        {
          chain: {
            family: 'inet',
            table: 'postern',
            name: 'prerouting',
            hook: 'prerouting',
            type: 'filter',
            prio: -150,
            policy: 'drop',
          },
        },
      ],
    };
    assert.deepEqual(judgeHost([doorPolicy('ssh', ['tcp/22'])], { nft: JSON.stringify(own), iptables: [] }), []);
  });

  test('what only one family refuses is said of that family', () => {
    const [finding] = judgeHost([doorPolicy('ssh', ['tcp/22'])], {
      iptables: [{ version: 6, source: 'iptables-legacy', text: '*filter\n:INPUT DROP [0:0]\nCOMMIT\n' }],
    });
    assert.match(finding!.message, /chain INPUT of iptables-legacy refuses a granted client, too, over IPv6$/);
    assert.match(finding!.hint, /^ip6tables-legacy -I INPUT -p tcp --dport 22 -j ACCEPT # /);
  });
});

test('the rules of nftables are tried only where nftables guards the ports', async () => {
  const twins = [doorPolicy('ssh', ['tcp/22']), doorPolicy('ssh', ['tcp/23'])];
  const objects = async (driver: string): Promise<boolean> => {
    const findings = await preflight(twins, 'drop', driver);
    return findings.some(({ message }) => message === 'Cannot guard door "ssh": there are two of that name');
  };
  assert.deepEqual([await objects('nftables'), await objects('iptables')], [true, false]);
});
