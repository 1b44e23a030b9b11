/** Rules that lead another port to a protected one, as administrators write them; `test/e2e/posternd-doctor.test.ts` shows that they do. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAddress } from '../../src/core/address.ts';
import { readTarget } from '../../src/firewall/bypass.ts';
import type { HostListing } from '../../src/firewall/host-listing.ts';
import { judgeHost } from '../../src/firewall/preflight.ts';
import { doorPolicy } from '../support/firewall-contract.ts';

const OWN = ['198.51.100.1', '2001:db8::1'].map((text) => parseAddress(text)!);
const DOORS = [doorPolicy('ssh', ['tcp/22']), doorPolicy('alt', ['tcp/2200'])];

function told(listing: HostListing): string[] {
  return judgeHost(DOORS, listing, OWN)
    .filter(({ severity }) => severity !== 'note')
    .map(({ severity, message, hint }) => `${severity}: ${message.replace(/ by this host.*/, '')} # ${hint}`);
}

function iptables(rules: string, version: 4 | 6 = 4): HostListing {
  const text = `*nat\n:PREROUTING ACCEPT [0:0]\n:own - [0:0]\n${rules}\nCOMMIT\n`;
  return { iptables: [{ version, source: 'iptables', text }] };
}

describe('rules of iptables', () => {
  const leads = 'error: tcp/2222 leads to tcp/22 of door "ssh"';
  const cases: readonly (readonly [rules: string, found: readonly string[], version?: 4 | 6])[] = [
    [
      '-A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22',
      [
        `${leads} # take the rule away: iptables -t nat -D PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22, or protect what leads there, too: "tcp/2222"`,
      ],
    ],
    ['-A PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 22', []],
    ['-A PREROUTING -p udp --dport 2222 -j REDIRECT --to-ports 22', []],
    ['-A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 80', []],
    // Who asks for it has to have knocked on the other door.
    ['-A PREROUTING -p tcp --dport 2200 -j REDIRECT --to-ports 22', []],
    ['-A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 172.17.0.2:22', []],
    ['-A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 198.51.100.1', []],
    ['-A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination 198.51.100.1:22', [leads]],
    ['-A PREROUTING -p tcp --dport 2222 -j DNAT --to-destination [2001:db8::1]:22', [leads], 6],
    [
      '-A PREROUTING -j own\n-A own -p tcp -m multiport --dports 2222,80:81 -j REDIRECT --to-ports 22',
      ['error: tcp/80, tcp/81, tcp/2222 lead to tcp/22 of door "ssh"'],
    ],
    [
      '-A PREROUTING -s 192.0.2.0/24 -p tcp --dport 2222 -j REDIRECT --to-ports 20-30',
      ['warning: tcp/2222 may lead, for some, to tcp/22 of door "ssh"'],
    ],
    ['-A PREROUTING -p tcp -j REDIRECT --to-ports 22', ['error: every other tcp port leads to tcp/22 of door "ssh"']],
  ];
  for (const [rules, found, version] of cases) {
    test(rules, () => {
      const lines = told(iptables(rules, version));
      assert.deepEqual(
        lines.map((line, at) => line.slice(0, found[at]?.length)),
        found,
      );
    });
  }
});

describe('rules of nftables', () => {
  const dport = { payload: { protocol: 'tcp', field: 'dport' } };
  const listing = (...expr: object[]): HostListing => ({
    nft: JSON.stringify({
      nftables: [
        { table: { family: 'inet', name: 'mine' } },
        {
          chain: {
            family: 'inet',
            table: 'mine',
            name: 'pre',
            type: 'nat',
            hook: 'prerouting',
            prio: -199,
            policy: 'accept',
          },
        },
        { rule: { family: 'inet', table: 'mine', chain: 'pre', handle: 5, expr } },
      ],
    }),
    iptables: [],
  });
  const match = (right: unknown): object => ({ match: { op: '==', left: dport, right } });
  const hint = 'take the rule away: nft delete rule inet mine pre handle 5, or protect what leads there, too:';

  test('a redirect, before all other chains or not', () => {
    assert.deepEqual(told(listing(match(2222), { redirect: { port: 22 } })), [
      `error: tcp/2222 leads to tcp/22 of door "ssh" # ${hint} "tcp/2222"`,
    ]);
  });

  test('a set of ports, and DNAT to an address of this host of the other family', () => {
    const found = told(
      listing(match({ set: [2222, { range: [80, 90] }] }), { dnat: { addr: '2001:db8::1', port: 22 } }),
    );
    assert.deepEqual(found, [
      `error: tcp/80, tcp/90, tcp/2222 lead to tcp/22 of door "ssh" # ${hint} "tcp/80", "tcp/90", "tcp/2222"`,
    ]);
  });

  test('a redirect by a map', () => {
    const map = {
      key: dport,
      data: {
        set: [
          [2222, 22],
          [80, 8080],
        ],
      },
    };
    assert.deepEqual(told(listing({ redirect: { port: { map } } })), [
      `error: tcp/2222 leads to tcp/22 of door "ssh" # ${hint} "tcp/2222"`,
    ]);
  });

  test('the same port, another host, a port that nobody protects', () => {
    assert.deepEqual(told(listing(match(22), { redirect: { port: 22 } })), []);
    assert.deepEqual(told(listing(match(2222), { dnat: { addr: '172.17.0.2', port: 22 } })), []);
    assert.deepEqual(told(listing(match(2222), { redirect: { port: 80 } })), []);
  });
});

test('a target is read whatever it looks like', () => {
  for (const [text, range] of [
    ['22', [22, 22]],
    [':22', [22, 22]],
    ['port 22-25', [22, 25]],
    ['127.0.0.1:22', [22, 22]],
    ['198.51.100.1-198.51.100.9:22', [22, 22]],
    ['2001:db8::1:22', [22, 22]],
    ['198.51.100.1', undefined],
    ['2001:db8::1', undefined],
    ['…', undefined],
    ['port ', undefined],
    ['', undefined],
  ] as const) {
    const target = readTarget(text, OWN);
    assert.deepEqual(target && [target.first, target.last], range, text);
  }
});
