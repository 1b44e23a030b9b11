import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../src/core/address.ts';
import type { CloseMode } from '../../src/core/policy.ts';
import { type HostAnswers, REFUSING } from '../../src/firewall/answers.ts';
import { type Face, FirewallError } from '../../src/firewall/driver.ts';
import { doorOfSet, guardedPorts, guardRules, openSet } from '../../src/firewall/nft-rules.ts';
import { portSegments } from '../../src/firewall/port-segments.ts';
import { doorPolicy, guardOf, source } from '../support/firewall-contract.ts';

/** The rules of one chain. */
function chainOf(text: string, name: string): string[] {
  const body = new RegExp(`^ {2}chain ${name} \\{\\n(.*?)^ {2}\\}`, 'ms').exec(text)?.[1];
  assert.ok(body !== undefined, `no chain ${name}`);
  return body
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
}

describe('guardRules', () => {
  const ssh = doorPolicy('ssh', ['tcp/22']);

  test('one door is this text', () => {
    assert.equal(
      guardRules(guardOf([ssh]), [{ source: source('192.0.2.7'), sourcePort: 50_000, port: 22 }]),
      `table inet postern {
  map ports_tcp4 { type inet_service : verdict; }
  map ports_udp4 { type inet_service : verdict; }
  map cut_tcp4 { type inet_service : verdict; }
  map cut_udp4 { type inet_service : verdict; }
  map ports_tcp6 { type inet_service : verdict; }
  map ports_udp6 { type inet_service : verdict; }
  map cut_tcp6 { type inet_service : verdict; }
  map cut_udp6 { type inet_service : verdict; }
}
flush table inet postern
flush map inet postern ports_tcp4
flush map inet postern ports_udp4
flush map inet postern cut_tcp4
flush map inet postern cut_udp4
flush map inet postern ports_tcp6
flush map inet postern ports_udp6
flush map inet postern cut_tcp6
flush map inet postern cut_udp6
table inet postern {
  set ban4 { type ipv4_addr; flags dynamic,timeout; size 131072; }
  set allow4 { type ipv4_addr; flags dynamic,timeout; size 131072; }
  set live4 { type ipv4_addr . inet_service . inet_service; flags timeout; size 131072; elements = { 192.0.2.7 . 50000 . 22 timeout 5d }; }
  set tried4 { type ipv4_addr . inet_proto . inet_service; flags dynamic,timeout; timeout 60s; size 4096; }
  set ban6 { type ipv6_addr; flags dynamic,timeout; size 131072; }
  set allow6 { type ipv6_addr; flags dynamic,timeout; size 131072; }
  set live6 { type ipv6_addr . inet_service . inet_service; flags timeout; size 131072; }
  set tried6 { type ipv6_addr . inet_proto . inet_service; flags dynamic,timeout; timeout 60s; size 4096; }
  set open4_ssh { type ipv4_addr; flags dynamic,timeout; size 131072; }
  set open6_ssh { type ipv6_addr; flags dynamic,timeout; size 131072; }
  chain trusted {
    ip saddr @allow4 accept
    ip6 saddr & ffff:ffff:ffff:ffff:: @allow6 accept
  }
  chain banned {
    jump trusted
    drop
  }
  chain closed_tcp {
    meta nfproto ipv4 tcp flags & (syn | rst | ack) == ack add @tried4 { ip saddr . meta l4proto . tcp dport }
    meta nfproto ipv6 tcp flags & (syn | rst | ack) == ack add @tried6 { ip6 saddr . meta l4proto . tcp dport }
    drop
  }
  chain closed_udp {
    meta nfproto ipv4 add @tried4 { ip saddr . meta l4proto . udp dport }
    meta nfproto ipv6 add @tried6 { ip6 saddr . meta l4proto . udp dport }
    drop
  }
  chain tcp4_22 {
    ip saddr @open4_ssh return
    tcp flags & (syn | ack) == ack ip saddr . tcp sport . tcp dport @live4 return
    fib daddr type unicast fib daddr . iif type unicast return
    goto closed_tcp
  }
  chain tcp6_22 {
    ip6 saddr & ffff:ffff:ffff:ffff:: @open6_ssh return
    tcp flags & (syn | ack) == ack ip6 saddr . tcp sport . tcp dport @live6 return
    fib daddr type unicast fib daddr . iif type unicast return
    goto closed_tcp
  }
  chain cut4 {
    jump trusted
  }
  chain ports4 {
    jump trusted
    tcp dport vmap @ports_tcp4
  }
  chain cut6 {
    jump trusted
  }
  chain ports6 {
    jump trusted
    tcp dport vmap @ports_tcp6
  }
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iif "lo" return
    ct direction reply return
    ip saddr @ban4 goto banned
    ip6 saddr & ffff:ffff:ffff:ffff:: @ban6 goto banned
    ct state established,related return
    meta nfproto ipv4 goto ports4
    meta nfproto ipv6 goto ports6
  }
  map ports_tcp4 { type inet_service : verdict; elements = { 22 : goto tcp4_22 }; }
  map cut_tcp4 { type inet_service : verdict; }
  map ports_udp4 { type inet_service : verdict; }
  map cut_udp4 { type inet_service : verdict; }
  map ports_tcp6 { type inet_service : verdict; elements = { 22 : goto tcp6_22 }; }
  map cut_tcp6 { type inet_service : verdict; }
  map ports_udp6 { type inet_service : verdict; }
  map cut_udp6 { type inet_service : verdict; }
}
`,
    );
  });

  test('`cut` and `kill` doors are asked before conntrack, and end sessions each in its way', () => {
    for (const [close, end] of [
      ['cut', 'ct state established drop'],
      ['kill', 'ct state established reject with tcp reset'],
    ] as const) {
      const text = guardRules(guardOf([doorPolicy('ssh', ['tcp/22', 'tcp/30-40', 'udp/5000'], close)]));
      const base = chainOf(text, 'prerouting');
      assert.ok(
        base.indexOf('ct direction original meta nfproto ipv4 jump cut4') <
          base.indexOf('ct state established,related return'),
      );
      assert.deepEqual(chainOf(text, 'cut4'), [
        'jump trusted',
        'tcp dport vmap @cut_tcp4',
        'tcp dport 30-40 goto tcp4_30_40',
        'udp dport vmap @cut_udp4',
      ]);
      assert.equal(chainOf(text, 'tcp4_22').at(-2), end);
      assert.equal(chainOf(text, 'udp6_5000').at(-2), 'ct state established drop');
    }
  });

  test('what no capture sees is written down where it is refused, and at traps, before any verdict', () => {
    const traps = [
      { protocol: 'tcp', first: 23, last: 23 },
      { protocol: 'tcp', first: 3380, last: 3390 },
      { protocol: 'udp', first: 161, last: 161 },
    ] as const;
    const text = guardRules(guardOf([ssh], { traps, face: 'reset' }));
    const ack = 'tcp flags & (syn | rst | ack) == ack';
    assert.deepEqual(chainOf(text, 'ports6'), [
      'jump trusted',
      ...['23', '3380-3390'].map(
        (port) => `tcp dport ${port} ${ack} fib daddr type local add @tried6 { ip6 saddr . meta l4proto . tcp dport }`,
      ),
      'tcp dport vmap @ports_tcp6',
    ]);
    assert.ok(
      !chainOf(guardRules(guardOf([doorPolicy('ssh', ['tcp/22'], 'cut')], { traps })), 'cut4').some((rule) =>
        rule.includes('@tried'),
      ),
    );
    assert.equal(chainOf(text, 'closed_udp').at(-1), 'reject with icmpx type port-unreachable');
  });

  test('faces', () => {
    const closed = (face: Face, answers?: HostAnswers) => {
      const text = guardRules(guardOf([ssh], answers ? { face, closed: answers } : { face }));
      const rules = ['closed_tcp', 'closed_udp'].flatMap((name) => chainOf(text, name));
      return [...rules.filter((rule) => !rule.includes('@tried')), text.includes('redirect to :1')];
    };
    assert.deepEqual(closed('drop'), ['drop', 'drop', false]);
    assert.deepEqual(closed('reset'), ['reject with tcp reset', 'reject with icmpx type port-unreachable', false]);
    assert.deepEqual(closed('mirror'), ['ct state != new drop', 'drop', true]);
    assert.deepEqual(closed('mirror', { 4: REFUSING, 6: REFUSING }), [
      'ct state != new reject with tcp reset',
      'reject with icmpx type port-unreachable',
      true,
    ]);
    assert.deepEqual(closed('auto'), ['drop', 'drop', false]);
    assert.deepEqual(closed('auto', { 4: REFUSING, 6: REFUSING }), closed('reset'));
    const prohibited = { tcp: 'icmp admin-prohibited', midstream: 'icmp admin-prohibited', invalid: 'drop' } as const;
    assert.deepEqual(
      closed('auto', {
        4: { ...prohibited, udp: 'icmp host-prohibited' },
        6: { ...prohibited, midstream: 'drop', udp: 'icmp policy-fail' },
      }),
      [
        'ct state invalid drop',
        'meta nfproto ipv4 tcp flags & (fin | syn | rst | ack) != syn reject with icmpx type admin-prohibited',
        'meta nfproto ipv6 tcp flags & (fin | syn | rst | ack) != syn drop',
        'reject with icmpx type admin-prohibited',
        'meta nfproto ipv4 reject with icmp type host-prohibited',
        'meta nfproto ipv6 reject with icmpv6 type policy-fail',
        false,
      ],
    );
  });

  test('a mirrored port is decided by the sets where it is redirected, not by a mark others could clear', () => {
    const text = guardRules(guardOf([ssh], { face: 'mirror' }));
    assert.doesNotMatch(text, /mark/);
    assert.equal(chainOf(text, 'mirror_tcp4_22')[0], 'ip saddr @open4_ssh return');
    assert.equal(chainOf(text, 'mirror_tcp4_22').at(-1), 'meta l4proto tcp redirect to :1');
  });

  test('chains and sets that the guard no longer has are deleted, its own are not', () => {
    const first = guardRules(guardOf([ssh, doorPolicy('web', ['tcp/80'])], { face: 'mirror' }));
    const standing = {
      chains: [...first.matchAll(/^ {2}chain (\S+)/gm)].map(([, name]) => name!),
      sets: [...new Set([...first.matchAll(/^ {2}(?:set|map) (\S+)/gm)].map(([, name]) => name!))],
    };
    const deleted = guardRules(guardOf([ssh]), [], standing)
      .split('\n')
      .filter((line) => line.startsWith('delete'));
    assert.deepEqual(deleted, [
      'delete chain inet postern mirror',
      'delete chain inet postern mirror_tcp4_22',
      'delete chain inet postern mirror_tcp4_80',
      'delete chain inet postern mirror_tcp6_22',
      'delete chain inet postern mirror_tcp6_80',
      'delete chain inet postern tcp4_80',
      'delete chain inet postern tcp6_80',
      'delete set inet postern open4_web',
      'delete set inet postern open6_web',
    ]);
  });

  test('the prefix of IPv6 sources is the mask of their key', () => {
    const key = (ipv6Prefix: number): string => chainOf(guardRules(guardOf([ssh], { ipv6Prefix })), 'tcp6_22')[0]!;
    assert.equal(key(56), 'ip6 saddr & ffff:ffff:ffff:ff00:: @open6_ssh return');
    assert.equal(key(128), 'ip6 saddr @open6_ssh return');
    for (const prefix of [0, 129, 1.5, Number.NaN]) assert.throws(() => key(prefix), FirewallError);
  });

  test('no name gets into the text that is not a plain word', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), (name) => {
        if (/^[A-Za-z][A-Za-z0-9_-]{0,31}$/.test(name)) return;
        assert.throws(() => guardRules(guardOf([doorPolicy(name, ['tcp/22'])])), FirewallError);
      }),
    );
    assert.throws(() => guardRules(guardOf([ssh, ssh])), FirewallError);
  });

  test('what protects no sensible port is refused', () => {
    for (const range of ['tcp/0', 'tcp/65536', 'tcp/30-20']) {
      assert.throws(() => guardRules(guardOf([doorPolicy('x', [range])])), FirewallError);
    }
  });

  test('the same guard is the same text, whatever the order of the sessions', () => {
    const sessions = ['10.0.0.1', '10.0.0.2', 'fd00::1'].map((from) => ({
      source: parseAddress(from)!,
      sourcePort: 1,
      port: 22,
    }));
    assert.equal(guardRules(guardOf([ssh]), sessions), guardRules(guardOf([ssh]), sessions.toReversed()));
  });
});

describe('names', () => {
  test('a set tells its door', () => {
    for (const door of ['a', 'open4_b', 'x-y_z']) {
      assert.deepEqual(doorOfSet(openSet(door, 4)), { door, version: 4 });
      assert.deepEqual(doorOfSet(openSet(door, 6)), { door, version: 6 });
    }
    for (const set of ['ban4', 'live6', 'ports_tcp4', 'open5_x', '']) assert.equal(doorOfSet(set), undefined);
  });

  test('chains tell which ports are guarded', () => {
    const text = guardRules(guardOf([doorPolicy('x', ['tcp/22', 'udp/100-200'])]));
    const guarded = guardedPorts({
      chains: [...text.matchAll(/^ {2}chain (\S+)/gm)].map(([, name]) => name!),
      sets: [],
    });
    assert.deepEqual(
      [guarded('tcp', 22), guarded('udp', 22), guarded('udp', 150), guarded('tcp', 150), guarded('udp', 201)],
      [true, false, true, false, false],
    );
  });
});

describe('portSegments', () => {
  test('doors share where their ranges overlap, and the strictest way to close holds', () => {
    const doors = [
      doorPolicy('a', ['tcp/10-20']),
      doorPolicy('b', ['tcp/15-25', 'udp/15'], 'cut'),
      doorPolicy('c', ['tcp/15'], 'kill'),
    ];
    assert.deepEqual(portSegments(doors), [
      { protocol: 'tcp', first: 10, last: 14, doors: ['a'], close: 'keep' },
      { protocol: 'tcp', first: 15, last: 15, doors: ['a', 'b', 'c'], close: 'kill' },
      { protocol: 'tcp', first: 16, last: 20, doors: ['a', 'b'], close: 'cut' },
      { protocol: 'tcp', first: 21, last: 25, doors: ['b'], close: 'cut' },
      { protocol: 'udp', first: 15, last: 15, doors: ['b'], close: 'cut' },
    ]);
  });

  test('every protected port is in exactly one segment, with all its doors', () => {
    const range = fc
      .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 10 }), fc.constantFrom('tcp', 'udp'))
      .map(([first, more, protocol]) => `${protocol}/${first}-${first + more}`);
    const close = fc.constantFrom<CloseMode>('keep', 'cut', 'kill');
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.array(range, { maxLength: 3 }), close), { maxLength: 5 }), (specs) => {
        const doors = specs.map(([ranges, mode], index) => doorPolicy(`d${index}`, ranges, mode));
        const segments = portSegments(doors);
        for (const protocol of ['tcp', 'udp'] as const) {
          for (let port = 1; port <= 52; port += 1) {
            const inside = segments.filter((s) => s.protocol === protocol && s.first <= port && port <= s.last);
            const wanted = doors.filter((door) =>
              door.protect.some((r) => r.protocol === protocol && r.first <= port && port <= r.last),
            );
            assert.equal(inside.length, wanted.length === 0 ? 0 : 1);
            if (inside[0])
              assert.deepEqual(
                inside[0].doors,
                wanted.map(({ name }) => name),
              );
          }
        }
      }),
    );
  });
});
