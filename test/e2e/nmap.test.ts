/**
 * Real nmap, in every kind of TCP scan and in UDP, sees no difference between a guarded port and one that nobody uses: on hosts as ufw and
 * firewalld leave them, on hosts whose last rule refuses, on hosts without rules. The stage is that of `firewall-contract.ts`.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Face, Guard } from '../../src/firewall/driver.ts';
import type { Finding } from '../../src/firewall/preflight.ts';
import { ALICE, doorPolicy, guardOf, source, UDP_PORT } from '../support/firewall-contract.ts';
import { type NamespaceStage, openNamespaceStage } from '../support/firewall-stage.ts';
import { unavailable } from '../support/netns.ts';

const SCANS = ['-sS', '-sA', '-sW', '-sF', '-sN', '-sX', '-sM', '-sU'] as const;
/** Connects by the kernel: the packets of -sS, in seconds where nothing answers. */
const CONNECT = '-sT';
type Scan = (typeof SCANS)[number] | typeof CONNECT;

type Faced = Pick<Guard, 'face' | 'closed' | 'labels'>;

const DOORS = [doorPolicy('ssh', ['tcp/22', `udp/${UDP_PORT}`])];
/** Guarded and unused, in this order. */
const TCP_PAIR = [22, 23];
const UDP_PAIR = [UDP_PORT, UDP_PORT + 1];

const recorded = (name: string): string => readFileSync(join(import.meta.dirname, '../firewall/hosts', name), 'utf8');

const input = (rules: string, policy = 'accept'): string => `table inet host {
    chain in {
      type filter hook input priority 0; policy ${policy};
      ct state established,related accept
      meta l4proto ipv6-icmp accept
      ${rules}
    }
  }`;

interface Scanned {
  readonly name: string;
  /** Rules for `nft -f`, and for `iptables-restore` and `ip6tables-restore`. */
  readonly nft?: string;
  readonly iptables?: readonly [string, string];
  readonly face: Face;
  readonly families?: readonly (4 | 6)[];
  readonly scans?: readonly Scan[];
  /** What nmap says of both ports over the first family, in some of the scans. */
  readonly seen: Readonly<Partial<Record<Scan, string>>>;
}

const PROHIBITED = 'filtered admin-prohibited';
const SILENT = {
  '-sS': 'filtered no-response',
  '-sF': 'open|filtered no-response',
  '-sU': 'open|filtered no-response',
};
const REFUSED = { '-sS': 'closed reset', '-sF': 'closed reset', '-sU': 'closed port-unreach' };

const ON_NFTABLES: readonly Scanned[] = [
  { name: 'drop, on a host that drops', nft: input('', 'drop'), face: 'drop', seen: SILENT },
  { name: 'reset, on a host that refuses', face: 'reset', scans: [...SCANS, CONNECT], seen: REFUSED },
  { name: 'mirror, on a host that drops', nft: input('', 'drop'), face: 'mirror', seen: SILENT },
  { name: 'mirror, on a host that refuses', face: 'mirror', seen: REFUSED },
  {
    name: 'mirror, on a host whose last rule rejects',
    nft: input('reject with icmpx admin-prohibited'),
    face: 'mirror',
    seen: { '-sS': PROHIBITED, '-sF': PROHIBITED, '-sU': PROHIBITED },
  },
  {
    name: 'auto, on a host without rules',
    face: 'auto',
    families: [4, 6],
    scans: [...SCANS, CONNECT],
    seen: REFUSED,
  },
  {
    name: 'auto, with ufw',
    iptables: [recorded('ufw.iptables'), recorded('ufw.ip6tables')],
    face: 'auto',
    seen: SILENT,
  },
  {
    name: 'auto, with firewalld',
    nft: recorded('firewalld.nft'),
    face: 'auto',
    families: [4, 6],
    seen: { '-sS': PROHIBITED, '-sA': PROHIBITED, '-sF': 'open|filtered no-response', '-sU': PROHIBITED },
  },
  {
    name: 'auto, on a host whose last rule rejects',
    nft: input('reject with icmpx admin-prohibited'),
    face: 'auto',
    families: [4, 6],
    seen: { '-sS': PROHIBITED, '-sA': PROHIBITED, '-sF': PROHIBITED, '-sU': PROHIBITED },
  },
  {
    name: 'auto, on a host with another answer for every kind of packet',
    nft: input(`meta nfproto ipv6 accept
      meta l4proto udp reject with icmp net-prohibited
      ct state invalid reject with icmp host-prohibited
      tcp flags & (fin | syn | rst | ack) != syn drop
      tcp dport 20-30 reject with icmp host-unreachable
      reject with icmp host-unreachable`),
    face: 'auto',
    seen: {
      '-sS': 'filtered host-unreach',
      '-sA': 'filtered no-response',
      '-sF': 'filtered host-prohibited',
      '-sU': 'filtered net-prohibited',
    },
  },
];

const rejecting = (program: string, refusal: string): string => `*filter
:INPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ${program === 'iptables' ? 'icmp' : 'ipv6-icmp'} -j ACCEPT
-A INPUT -j REJECT --reject-with ${refusal}
COMMIT
`;

const ON_IPTABLES: readonly Scanned[] = [
  {
    name: 'auto, on a host whose last rule rejects',
    iptables: [rejecting('iptables', 'icmp-host-prohibited'), rejecting('ip6tables', 'icmp6-adm-prohibited')],
    face: 'auto',
    scans: ['-sS', '-sA', '-sF', '-sU'],
    seen: { '-sS': 'filtered host-prohibited', '-sF': 'filtered host-prohibited', '-sU': 'filtered host-prohibited' },
  },
  {
    name: 'auto, with firewalld',
    nft: recorded('firewalld.nft'),
    face: 'auto',
    families: [6],
    scans: ['-sS', '-sF', '-sU'],
    seen: { '-sS': PROHIBITED, '-sF': 'open|filtered no-response', '-sU': PROHIBITED },
  },
];

for (const [driver, scanned, needed] of [
  ['nftables', ON_NFTABLES, []],
  ['iptables-nft', ON_IPTABLES, ['ipset']],
] as const) {
  const skip = unavailable('nft', 'ss', 'nmap', 'tcpdump', 'iptables-nft-restore', 'ip6tables-nft-restore', ...needed);
  describe(`nmap, before ${driver}`, { skip }, () => {
    let stage: NamespaceStage;
    before(async () => {
      stage = await openNamespaceStage(driver);
      // The kernel limits ICMP errors to one a second for each address: what nmap would see of that is chance.
      const unlimited = 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit';
      await stage.hosts.server.exec(['sh', '-c', unlimited]);
    });
    beforeEach(async () => {
      await stage.driver.remove();
      await stage.hosts.server.exec(['nft', 'flush', 'ruleset']);
    });
    after(() => stage?.close());

    /** What nmap says of the pair. */
    const scan = async (kind: Scan, version: 4 | 6): Promise<string[]> => {
      const { server, client } = stage.hosts;
      const ports = (kind === '-sU' ? UDP_PAIR : TCP_PAIR).join(',');
      const address = version === 4 ? [server.address4] : ['-6', server.address6];
      const argv = ['nmap', kind, '-n', '-Pn', '--reason', '--max-retries', '1', '-p', ports, ...address] as const;
      const { stdout } = await client.exec([...argv]);
      return [...stdout.matchAll(/^\d+\/\w+\s+(\S+)\s+\S+\s+(.*)$/gm)].map((match) => match.slice(1).join(' '));
    };

    for (const { name, nft = '', iptables, face, families = [4] as const, scans = SCANS, seen } of scanned) {
      test(`a guarded port looks like an unused one: ${name}`, async () => {
        const { server } = stage.hosts;
        await server.exec(['nft', '-f', '-'], { input: nft });
        for (const [at, text] of (iptables ?? []).entries()) {
          await server.exec([at === 0 ? 'iptables-nft-restore' : 'ip6tables-nft-restore'], { input: text });
        }
        await stage.driver.install(guardOf(DOORS, (await stage.firewall.give({ do: 'face', face })) as Faced));
        const all = families.flatMap((version) => scans.map((kind) => ({ kind, version })));
        const results = await Promise.all(all.map(({ kind, version }) => scan(kind, version)));
        for (const [at, { kind, version }] of all.entries()) {
          const [guarded, unused, ...others] = results[at] ?? [];
          assert.equal(guarded, unused, `${kind} over IPv${version}`);
          assert.deepEqual([typeof unused, others], ['string', []], kind);
          if (version === families[0] && seen[kind])
            assert.equal(guarded?.replace(/ (from|ttl) .*/, ''), seen[kind], kind);
        }
        await stage.driver.open({ door: 'ssh', source: source(ALICE), remaining: 60_000, comment: '' });
        if (seen === REFUSED) assert.equal(await stage.connect(ALICE, 22), 'connected');
      });
    }

    if (driver === 'nftables') {
      /** The flow labels of what a guarded port and an unused one answer, in three kinds of scans. */
      const labels = async (): Promise<readonly number[]> => {
        const { server, client } = stage.hosts;
        const labels: number[] = [];
        // One after the other: each sees what the others are answered.
        for (const [at, kind] of ['-sS', '-sA', '-sF'].entries()) {
          const argv = ['-6', kind, '-g', String(41_000 + at), '-n', '-Pn', '--packet-trace', '--max-retries', '3'];
          const { stdout } = await client.exec(['nmap', ...argv, '-p', TCP_PAIR.join(','), server.address6]);
          const seen = [...stdout.matchAll(/^RCVD .* TCP \S+:(\d+) > .* flow=(\w+) /gm)];
          for (const port of TCP_PAIR)
            labels.push(Number.parseInt(seen.find(([, from]) => Number(from) === port)?.[2] ?? '', 16));
        }
        return labels;
      };
      const setting = (name: string, value: number): Promise<unknown> =>
        stage.hosts.server.exec(['sh', '-c', `echo ${value} > /proc/sys/net/ipv6/${name}`]);

      for (const [name, face, nft, own] of [
        ['auto, on a host without rules', 'auto', '', true],
        ['reset', 'reset', '', true],
        ['mirror', 'mirror', '', true],
        ['reset, on a host whose last rule resets', 'reset', input('meta l4proto tcp reject with tcp reset'), false],
        ['auto, on a host whose last rule resets', 'auto', input('meta l4proto tcp reject with tcp reset'), false],
      ] as const) {
        test(`over IPv6, resets have flow labels where those of unused ports have them: ${name}`, async () => {
          await stage.hosts.server.exec(['nft', '-f', '-'], { input: nft });
          await stage.driver.install(guardOf(DOORS, (await stage.firewall.give({ do: 'face', face })) as Faced));
          const seen = await labels();
          if (own) assert.equal(new Set([0, ...seen]).size, 7, `each flow has one of its own: ${seen}`);
          else assert.deepEqual(seen, [0, 0, 0, 0, 0, 0]);
        });
      }

      test('a traffic class is repeated by the kernel alone: at an unused port, and at a guarded one with mirror', async () => {
        const { server, client } = stage.hosts;
        for (const [face, guarded] of [
          ['auto', '00'],
          ['mirror', 'b8'],
        ] as const) {
          await stage.driver.install(guardOf(DOORS, (await stage.firewall.give({ do: 'face', face })) as Faced));
          const dump = client.spawn([
            'tcpdump',
            '-i',
            'eth0',
            '-n',
            '-l',
            '-v',
            '-c',
            '2',
            'tcp[tcpflags] & tcp-rst != 0',
          ]);
          await dump.waitForLine(/listening on/);
          const probe = ['nping', '--tcp', '--flags', 'syn', '-c', '1', '--tos', '0xb8', server.address4] as const;
          for (const port of TCP_PAIR) await client.exec([...probe, '-p', String(port)], { mayFail: true });
          await dump.end();
          const classes = [...dump.lines.join('\n').matchAll(/ \(tos 0x(\w+), [\s\S]*?\.(\d+) > /g)];
          const seen = new Map(classes.map(([, tos, port]) => [Number(port), (tos ?? '').replace(/^0$/, '00')]));
          assert.deepEqual([seen.get(22), seen.get(23)], [guarded, 'b8'], face);
        }
      });

      test('over IPv6, resets are labelled as this host is set', async () => {
        const face = async (): Promise<Faced> => (await stage.firewall.give({ do: 'face', face: 'auto' })) as Faced;
        try {
          await setting('flowlabel_state_ranges', 1);
          await stage.driver.install(guardOf(DOORS, await face()));
          for (const label of await labels()) assert.ok(label >= 0x8_0000, `${label}`);
          await setting('auto_flowlabels', 0);
          await stage.driver.install(guardOf(DOORS, await face()));
          assert.deepEqual(await labels(), [0, 0, 0, 0, 0, 0]);
        } finally {
          await setting('flowlabel_state_ranges', 0);
          await setting('auto_flowlabels', 1);
        }
      });

      test('mirror, with firewalld, shows which ports are guarded, and the preflight says so', async () => {
        await stage.hosts.server.exec(['nft', '-f', '-'], { input: recorded('firewalld.nft') });
        const findings = async (face: Face): Promise<string[]> => {
          const found = (await stage.firewall.give({ do: 'preflight', doors: [], face })) as Finding[];
          return found.map(({ severity, hint }) => `${severity}: ${hint}`);
        };
        assert.deepEqual(await findings('mirror'), ['warning: use face "auto"']);
        assert.deepEqual(await findings('auto'), []);
        await stage.driver.install(guardOf(DOORS, { face: 'mirror' }));
        const [guarded, unused] = await scan('-sS', 4);
        assert.notEqual(guarded, unused);
      });
    }
  });
}
