/** The tarpit in both texts of the guard: who is led there, who is not, and what the port is to everybody else. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HostListing } from '../../src/firewall/host-listing.ts';
import { guardText, parseStanding } from '../../src/firewall/iptables-rules.ts';
import { guardRules } from '../../src/firewall/nft-rules.ts';
import { judgeTarpit } from '../../src/firewall/preflight.ts';
import { doorPolicy, guardOf, source } from '../support/firewall-contract.ts';

const SSH = doorPolicy('ssh', ['tcp/22']);
const TRUSTED = [{ address: source('192.0.2.0'), length: 24 }];

describe('nftables with a tarpit', () => {
  /** The lines of one chain; undefined when there is none. */
  const chainOf = (text: string, name: string): string[] | undefined =>
    new RegExp(`^ {2}chain ${name} \\{\\n(.*?)^ {2}\\}`, 'ms')
      .exec(text)?.[1]
      ?.split('\n')
      .map((line) => line.trim())
      .filter(Boolean);

  test('lets go of TCP to this host alone, leads it before every DNAT, and drops the rest behind it', () => {
    const text = guardRules(guardOf([SSH], { tarpit: 2222 }));
    assert.deepEqual(chainOf(text, 'banned'), ['jump trusted', 'meta l4proto tcp fib daddr type local accept', 'drop']);
    assert.deepEqual(chainOf(text, 'pit'), [
      'type nat hook prerouting priority -102; policy accept;',
      'iif "lo" return',
      'ct direction reply return',
      'ip saddr @ban4 goto pit_banned',
      'ip6 saddr & ffff:ffff:ffff:ffff:: @ban6 goto pit_banned',
    ]);
    assert.deepEqual(chainOf(text, 'pit_banned'), [
      'jump trusted',
      'meta l4proto tcp fib daddr type local redirect to :2222',
    ]);
    assert.deepEqual(chainOf(text, 'kept'), [
      'type filter hook prerouting priority -99; policy accept;',
      'iif "lo" return',
      'ct direction reply return',
      'ip saddr @ban4 goto kept_banned',
      'ip6 saddr & ffff:ffff:ffff:ffff:: @ban6 goto kept_banned',
    ]);
    assert.deepEqual(chainOf(text, 'kept_banned'), [
      'jump trusted',
      'tcp dport 2222 fib daddr type local accept',
      'drop',
    ]);
  });

  for (const face of ['drop', 'reset', 'mirror'] as const) {
    test(`closes the port as any other, with face ${face}, and to every grant`, () => {
      const text = guardRules(guardOf([SSH], { tarpit: 2222, face }));
      for (const version of [4, 6]) {
        assert.deepEqual(chainOf(text, `tcp${version}_2222`), [
          'fib daddr type unicast fib daddr . iif type unicast return',
          'goto closed_tcp',
        ]);
        assert.match(text, new RegExp(`map ports_tcp${version} \\{.*2222 : goto tcp${version}_2222`));
        if (face === 'mirror')
          assert.deepEqual(chainOf(text, `mirror_tcp${version}_2222`), [
            'fib daddr type unicast fib daddr . iif type unicast return',
            'meta l4proto tcp redirect to :1',
          ]);
      }
    });
  }

  test('leads nobody anywhere while it observes, and takes its chains away with it', () => {
    const standing = { chains: ['pit', 'kept', 'pit_banned', 'kept_banned', 'tcp4_2222', 'banned'], sets: [] };
    for (const guard of [guardOf([SSH]), guardOf([SSH], { tarpit: 2222, observe: true })]) {
      const text = guardRules(guard, [], standing);
      assert.doesNotMatch(text, /redirect|2222 :|chain pit \{/);
      for (const gone of ['pit', 'kept', 'pit_banned', 'kept_banned', 'tcp4_2222'])
        assert.ok(text.includes(`delete chain inet postern ${gone}\n`), gone);
      assert.deepEqual(chainOf(text, 'banned'), ['jump trusted', 'drop']);
    }
  });
});

describe('iptables with a tarpit', () => {
  test('lets go of what is led to the port, in this text', () => {
    assert.equal(
      guardText(guardOf([SSH], { tarpit: 2222, trusted: TRUSTED }), 4, []),
      `*filter
:POSTERN - [0:0]
:POSTERN-pit - [0:0]
-I INPUT 1 -j POSTERN
-I FORWARD 1 -j POSTERN
-A POSTERN -m set --match-set postern-ban4 src -j POSTERN-pit
-A POSTERN-pit -m conntrack --ctdir REPLY -j RETURN
-A POSTERN-pit -i lo -j RETURN
-A POSTERN-pit -s 192.0.2.0/24 -j RETURN
-A POSTERN-pit -m set --match-set postern-allow4 src -j RETURN
-A POSTERN-pit -m addrtype ! --dst-type LOCAL -j DROP
COMMIT
*nat
:POSTERN - [0:0]
:POSTERN-pit - [0:0]
-I PREROUTING 1 -j POSTERN
-A POSTERN -m set --match-set postern-ban4 src -j POSTERN-pit
-A POSTERN-pit -i lo -j RETURN
-A POSTERN-pit -s 192.0.2.0/24 -j RETURN
-A POSTERN-pit -m set --match-set postern-allow4 src -j RETURN
-A POSTERN-pit -p tcp -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 2222
COMMIT
*mangle
:POSTERN - [0:0]
:POSTERN-pit - [0:0]
:POSTERN-tcp-22 - [0:0]
:POSTERN-tcp-2222 - [0:0]
:POSTERN-closed-tcp - [0:0]
:POSTERN-closed-udp - [0:0]
-I PREROUTING 1 -j POSTERN
-A POSTERN -i lo -j RETURN
-A POSTERN -s 192.0.2.0/24 -j RETURN
-A POSTERN -m set --match-set postern-allow4 src -j RETURN
-A POSTERN -m conntrack --ctdir REPLY -j RETURN
-A POSTERN -m set --match-set postern-ban4 src -g POSTERN-pit
-A POSTERN -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A POSTERN -p tcp -m tcp --dport 22 -g POSTERN-tcp-22
-A POSTERN -p tcp -m tcp --dport 2222 -g POSTERN-tcp-2222
-A POSTERN-pit -p tcp -m addrtype --dst-type LOCAL -m conntrack --ctstate NEW -j RETURN
-A POSTERN-pit -p tcp -m addrtype --dst-type LOCAL -m conntrack --ctstate DNAT --ctreplsrcport 2222 -j RETURN
-A POSTERN-pit -j DROP
-A POSTERN-tcp-22 -m set --match-set postern4-ssh src -j RETURN
-A POSTERN-tcp-22 -p tcp -m tcp --tcp-flags SYN,ACK ACK -m set --match-set postern-live4 src,src -j RETURN
-A POSTERN-tcp-22 -m addrtype --dst-type UNICAST -m addrtype --dst-type UNICAST --limit-iface-in -j RETURN
-A POSTERN-tcp-22 -g POSTERN-closed-tcp
-A POSTERN-tcp-2222 -m addrtype --dst-type UNICAST -m addrtype --dst-type UNICAST --limit-iface-in -j RETURN
-A POSTERN-tcp-2222 -g POSTERN-closed-tcp
-A POSTERN-closed-tcp -p tcp -m tcp --tcp-flags SYN,RST,ACK ACK -j SET --add-set postern-tried4 src,dst
-A POSTERN-closed-tcp -j DROP
-A POSTERN-closed-udp -j SET --add-set postern-tried4 src,dst
-A POSTERN-closed-udp -j DROP
COMMIT
`,
    );
  });

  test('leads to the port before face mirror leads to an unused one', () => {
    const text = guardText(guardOf([SSH], { tarpit: 2222, face: 'mirror' }), 6, []);
    const nat = /^\*nat\n(.*?)^COMMIT/ms.exec(text)?.[1]?.split('\n') ?? [];
    assert.deepEqual(
      nat.filter((line) => line.startsWith('-A POSTERN ')),
      [
        '-A POSTERN -m set --match-set postern-ban6 src -j POSTERN-pit',
        '-A POSTERN -p tcp -m mark --mark 0x20000000/0x20000000 -j REDIRECT --to-ports 1',
      ],
    );
  });

  test('is without it while it observes; without a tarpit again the tables it needed are left to others, mangle first', () => {
    const guard = guardOf([SSH]);
    const observing = guardText(guardOf([SSH], { tarpit: 2222, observe: true }), 4, []);
    assert.doesNotMatch(observing, /REDIRECT|POSTERN-pit|2222/);
    const standing = parseStanding(`*nat
:PREROUTING ACCEPT [0:0]
:POSTERN - [0:0]
:POSTERN-pit - [0:0]
-A PREROUTING -j POSTERN
-A POSTERN -m set --match-set postern-ban4 src -j POSTERN-pit
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:POSTERN - [0:0]
:POSTERN-pit - [0:0]
-A PREROUTING -j POSTERN
COMMIT
`);
    const text = guardText(guard, 4, standing);
    assert.ok(text.indexOf('*mangle') < text.indexOf('*nat'));
    assert.match(text, /\*nat\n-D PREROUTING -j POSTERN\n-F POSTERN\n-F POSTERN-pit\n-X POSTERN\n-X POSTERN-pit\n/);
    assert.match(text, /-A POSTERN -m set --match-set postern-ban4 src -j DROP\n/);
    assert.match(text, /-X POSTERN-pit\nCOMMIT/);
  });
});

describe("this host's own rules before the tarpit", () => {
  const host = (rules: string): HostListing => ({
    iptables: ([4, 6] as const).map((version) => ({
      version,
      source: 'iptables',
      text: `*filter\n:INPUT DROP [0:0]\n${rules}COMMIT\n`,
    })),
  });

  test('that refuse its port are told, with the command that lets it in', () => {
    const [found, ...rest] = judgeTarpit(2222, host('-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n'));
    assert.deepEqual(rest, []);
    assert.equal(found?.severity, 'warning');
    assert.equal(
      found?.message,
      'Nobody is held in the tarpit: chain INPUT of iptables refuses port tcp/2222, where banned sources are led to, over IPv4 and IPv6',
    );
    assert.match(found?.hint ?? '', /^iptables -I INPUT -p tcp --dport 2222 -j ACCEPT && ip6tables /);
  });

  test('that let it in are no matter, nor is a host without a tarpit', () => {
    assert.deepEqual(judgeTarpit(2222, host('-A INPUT -p tcp -m tcp --dport 2222 -j ACCEPT\n')), []);
    assert.deepEqual(judgeTarpit(undefined, host('')), []);
  });
});
