/** Hosts as their own tools print them (`hosts/`), and as administrators write them; what nmap sees is in test/e2e. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Answers, REFUSING, SILENT } from '../../src/firewall/answers.ts';
import type { HostListing } from '../../src/firewall/host-listing.ts';
import { favoursLed, judgeAnswers } from '../../src/firewall/unused-ports.ts';

const recorded = (name: string): string => readFileSync(join(import.meta.dirname, 'hosts', name), 'utf8');

/** A host with these rules in INPUT, IPv4 alone. */
function host(rules: string, policy = 'ACCEPT'): HostListing {
  const text = `*filter\n:INPUT ${policy} [0:0]\n-A INPUT -i lo -j ACCEPT\n${rules}\nCOMMIT\n`;
  return { iptables: [{ version: 4, source: 'iptables', text }] };
}

function nftChain(name: string, hook: string, prio: number, ...rules: readonly object[][]): object[] {
  return [
    { chain: { family: 'inet', table: 'own', name, hook, type: 'filter', prio, policy: 'accept' } },
    ...rules.map((expr) => ({ rule: { family: 'inet', table: 'own', chain: name, expr } })),
  ];
}

/** The same packets, sent by rules and not by the kernel itself. */
const { own: _, ...BY_RULES } = REFUSING;

describe('what a host answers at unused ports', () => {
  const everything = (answer: Answers['tcp']): Answers => ({
    tcp: answer,
    midstream: answer,
    invalid: answer,
    udp: answer,
  });
  const prohibited = '-A INPUT -j REJECT --reject-with icmp-host-prohibited';
  const cases: readonly (readonly [string, HostListing, Answers])[] = [
    ['no rules', host(''), REFUSING],
    ['a policy of drop', host('', 'DROP'), SILENT],
    ['REJECT at the end', host(prohibited), everything('icmp host-prohibited')],
    [
      'invalid packets dropped before it',
      host(`-A INPUT -m conntrack --ctstate INVALID -j DROP\n${prohibited}`),
      { ...everything('icmp host-prohibited'), invalid: 'drop' },
    ],
    [
      'each protocol refused in its way',
      host('-A INPUT -p tcp -j REJECT --reject-with tcp-reset\n-A INPUT -p udp -j REJECT'),
      BY_RULES,
    ],
    [
      'new sessions that begin without SYN dropped',
      host('-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP'),
      { ...REFUSING, midstream: 'drop' },
    ],
    [
      'FIN scans dropped, other invalid segments refused: no one answer is right',
      host('-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN -j DROP'),
      { ...REFUSING, invalid: 'drop' },
    ],
    [
      'some networks let in',
      host(`-A INPUT -s 192.0.2.0/24 -j ACCEPT\n${prohibited}`),
      everything('icmp host-prohibited'),
    ],
    ['rules of the old backend that could not be read', { ...host(''), unread: [4] }, SILENT],
    ['what is not understood', host(`-A INPUT -m wonder --at 1 -j ACCEPT\n${prohibited}`), SILENT],
  ];
  for (const [name, listing, expected] of cases) {
    test(name, () => assert.deepEqual(judgeAnswers(listing)?.[4], expected));
  }

  test('rules for interfaces that do not lead to the rest of the world say nothing about strangers', () => {
    const rules = ['lo', 'docker0', 'wg+'].map((name) => `-A INPUT -i ${name} -j ACCEPT`).join('\n');
    const outside = '-A INPUT -i eth+ -j REJECT --reject-with icmp-host-prohibited';
    const listing = host(`${rules}\n${outside}`, 'DROP');
    assert.deepEqual(judgeAnswers(listing)?.[4], SILENT);
    assert.deepEqual(judgeAnswers(listing, ['eth0'])?.[4], everything('icmp host-prohibited'));
    assert.deepEqual(judgeAnswers(listing, ['eth0', 'ppp0'])?.[4], SILENT);
  });

  test('ufw: silence', () => {
    const listing: HostListing = {
      iptables: [
        { version: 4, source: 'iptables', text: recorded('ufw.iptables') },
        { version: 6, source: 'iptables', text: recorded('ufw.ip6tables') },
      ],
    };
    assert.deepEqual(judgeAnswers(listing), { 4: SILENT, 6: SILENT });
  });

  test('sets and verdict maps that have names are looked into', () => {
    const dport = { payload: { protocol: 'tcp', field: 'dport' } };
    const named = { family: 'inet', table: 'own' };
    const ports = (...elem: unknown[]): HostListing => ({
      nft: JSON.stringify({
        nftables: [
          { table: { family: 'inet', name: 'own' } },
          { set: { ...named, name: 'open', elem } },
          { map: { ...named, name: 'verdicts', elem: elem.map((port) => [port, { accept: null }]) } },
          ...nftChain(
            'in',
            'input',
            0,
            [{ match: { op: '==', left: dport, right: '@open' } }, { accept: null }],
            [{ vmap: { key: dport, data: '@verdicts' } }],
            [{ reject: { type: 'icmpx', expr: 'admin-prohibited' } }],
          ),
        ],
      }),
      iptables: [],
    });
    for (const elements of [[], [22, { range: [80, 90] }], [{ elem: { val: 22, timeout: 60 } }]]) {
      assert.deepEqual(judgeAnswers(ports(...elements))?.[4], everything('icmp admin-prohibited'));
    }
    assert.equal(judgeAnswers(ports({ range: [1, 1023] }))?.[4].tcp, 'reset');
    const unlisted = { nft: ports().nft!.replace('"name":"open"', '"name":"other"'), iptables: [] };
    assert.equal(judgeAnswers(unlisted)?.[4].tcp, 'drop');
  });

  test('the chain that comes first decides, not the one that is listed first', () => {
    const drop = nftChain('early', 'prerouting', -300, [{ drop: null }]);
    const refuse = nftChain('late', 'input', 0, [{ reject: { type: 'tcp reset' } }]);
    const table = { table: { family: 'inet', name: 'own' } };
    const nft = JSON.stringify({ nftables: [table, ...refuse, ...drop] });
    assert.deepEqual(judgeAnswers({ nft, iptables: [] }), { 4: SILENT, 6: SILENT });
  });

  test('rules that can not be read tell nothing', () => assert.equal(judgeAnswers({ iptables: [] }), undefined));
});

test('a host that lets in what NAT has led is known', () => {
  assert.equal(favoursLed(host('-A INPUT -m conntrack --ctstate DNAT -j ACCEPT', 'DROP')), true);
  assert.equal(favoursLed(host('-A INPUT -m conntrack --ctstate DNAT -j ACCEPT')), false);
  assert.equal(favoursLed(host('', 'DROP')), false);
});
