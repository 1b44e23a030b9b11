/**
 *     server eth0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 eth0 client (packets also from .30 and up, forged)
 *            Debian's knockd and ours, side by side
 *
 * Real peers: Debian's `knock`, nmap and a kernel's connect() open our knockd, our `knock` opens Debian's; and the same packets, to both
 * daemons at once, open the same doors, except where a scenario says what each does and why.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Knockd, lines, startKnockd } from '../support/knockd-host.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { ethernet } from '../support/packet-builder.ts';
import { parsePackets, type TimedPacket } from '../support/packet-spec.ts';
import { type PcapFrame, writePcap } from '../support/pcap-writer.ts';
import { type Sender, startSender } from '../support/sender.ts';

const ROOT = join(import.meta.dirname, '../..');
const skip = unavailable('knock', 'knockd', 'nmap', 'nft', 'perl');

const DOORS = `[T]
  sequence = 7000,8000,9000
  seq_timeout = 5
  tcpflags = syn
  command = echo T %IP% >> out
[M]
  sequence = 7100:tcp,8100:udp,9100:tcp
  seq_timeout = 5
  tcpflags = syn
  command = echo M %IP% >> out
[U]
  sequence = 7200:udp,8200:udp,9200:udp
  seq_timeout = 5
  command = echo U %IP% >> out
[any]
  sequence = 7300,8300
  seq_timeout = 5
  command = echo any %IP% >> out
[short]
  sequence = 7400,8400
  seq_timeout = 5
  tcpflags = syn
  command = echo short %IP% >> out
[long]
  sequence = 7400,8400,9400
  seq_timeout = 5
  tcpflags = syn
  command = echo long %IP% >> out
[quick]
  sequence = 7500,8500
  seq_timeout = 2
  tcpflags = syn
  command = echo quick %IP% >> out
[same]
  sequence = 7600,7600,7600
  seq_timeout = 5
  tcpflags = syn
  command = echo same %IP% >> out
[one]
  sequence = 7700
  tcpflags = fin
  command = echo one %IP% >> out
`;

interface Scenario {
  readonly name: string;
  /** In the notation of packet-spec.ts; S is a source of its own, R another, V one of IPv6. */
  readonly packets: string;
  /** What opens in Debian's knockd: the door, and the source when it is not S. Commands run at once, so in no order. */
  readonly debian: readonly string[];
  /** What opens in ours, when that is something else, and why. */
  readonly ours?: readonly string[];
  readonly why?: string;
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'a plain knock', packets: 'S 7000 8000 9000', debian: ['T'] },
  { name: 'a plain knock over IPv6', packets: 'V 7000 8000 9000', debian: ['T'] },
  { name: 'TCP and UDP', packets: 'S 7100 u8100 9100', debian: ['M'] },
  { name: 'TCP and UDP over IPv6', packets: 'V 7100 u8100 9100', debian: ['M'] },
  { name: 'UDP alone', packets: 'S u7200 u8200 u9200', debian: ['U'] },
  { name: 'twice in a row', packets: 'S 7000 8000 9000 7000 8000 9000', debian: ['T', 'T'] },
  { name: 'doors one after another', packets: 'S 7000 8000 9000 7100 u8100 9100', debian: ['T', 'M'] },
  { name: 'slow, within the time', packets: 'S 7000 @1 8000 @1 9000', debian: ['T'] },
  { name: 'too slow', packets: 'S 7500 @2.2 8500', debian: [] },
  { name: 'wrong order', packets: 'S 7000 9000 8000', debian: [] },
  { name: 'one step missing', packets: 'S 7000 9000', debian: [] },
  { name: 'the wrong protocol', packets: 'S 7000 u8000 9000', debian: [] },
  { name: 'the same step three times', packets: 'S 7600 7600 7600', debian: ['same'] },
  { name: 'the last step copied', packets: 'S 7000 8000 9000 x2', debian: ['T'] },
  { name: 'flags that count', packets: 'S 7700/F 7700/FA', debian: ['one', 'one'] },
  { name: 'flags that do not count', packets: 'S 7700 7700/A', debian: [] },
  { name: 'SYN and ACK where SYN is asked for', packets: 'S 7000 8000/SA 9000/SP', debian: ['T'] },
  { name: 'a RST in between, where SYN is asked for', packets: 'S 7000 7000/R 8000 9000', debian: ['T'] },
  { name: 'no flags asked for', packets: 'S 7300/A 8300/N', debian: ['any'] },
  { name: 'another host in between', packets: 'S 7000 R 8000 S 8000 R 9000 S 9000', debian: ['T'] },
  { name: 'two clients at once', packets: 'S 7000 R 7000 S 8000 R 8000 R 9000 S 9000', debian: ['T R', 'T'] },
  { name: 'begun over IPv4, ended over IPv6', packets: 'S 7000 V 8000 9000', debian: [] },
  {
    name: 'the first step twice',
    packets: 'S 7000 7000 8000 9000',
    debian: [],
    ours: ['T'],
    why: 'A first step sent twice begins anew',
  },
  {
    name: 'a step retransmitted',
    packets: 'S 7000 8000 x2 9000',
    debian: [],
    ours: ['T'],
    why: 'A retransmission is not a wrong knock',
  },
  {
    name: 'a step of another door in between',
    packets: 'S 7000 u8100 8000 9000',
    debian: [],
    ours: ['T'],
    why: 'Two wrong packets are forgiven',
  },
  {
    name: 'a RST in between, where no flags are asked for',
    packets: 'S 7300 7300/R 8300',
    debian: [],
    ours: ['any'],
    why: 'A RST is no knock of its own',
  },
  {
    name: 'a long sequence that begins as a short one',
    packets: 'S 7400 8400 9400',
    debian: ['short'],
    ours: ['short', 'long'],
    why: 'Doors with a common beginning all open',
  },
  {
    name: 'the first client of two ends first',
    packets: 'R 7000 S 7000 R 8000 9000 S 8000 9000',
    debian: ['T R'],
    ours: ['T R', 'T'],
    why: 'Clients never disturb each other',
  },
  {
    name: 'an ascending scan',
    packets: 'S gap=0.0005 6990-7010 7990-8010 8990-9010',
    debian: ['T'],
    ours: [],
    why: 'A port scan opens nothing',
  },
  {
    name: 'three ports of no door in between',
    packets: 'S 7000 1 2 3 8000 9000',
    debian: ['T'],
    ours: [],
    why: 'Packets to ports of no door are wrong knocks too, from the third on',
  },
];

let topology: Topology<'server' | 'client'>;
let server: Host;
let client: Host;
let sender: Sender;

describe('Real peers', { skip }, () => {
  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server, client } = topology.hosts);
    sender = startSender(client);
  });
  after(async () => topology.close());

  test('Debian’s `knock` opens our knockd: TCP, UDP, mixed, IPv6', async () => {
    await using knockd = await startKnockd(server, { config: DOORS });
    const knock = (...args: string[]): Promise<unknown> => client.exec(['knock', '-d', '10', ...args]);
    await knock('10.77.1.1', '7000', '8000', '9000');
    await knock('10.77.1.1', '7100:tcp', '8100:udp', '9100:tcp');
    await knock('-u', '10.77.1.1', '7200', '8200', '9200');
    await knock('fd77::1', '7000', '8000', '9000');
    await knock('-6', 'fd77::1', '7100', '8100:udp', '9100');
    const expected = ['T 10.77.1.2', 'M 10.77.1.2', 'U 10.77.1.2', 'T fd77::2', 'M fd77::2'];
    assert.deepEqual(await knockd.output(expected.length), expected);
  });

  test('Our `knock` opens Debian’s knockd: TCP, UDP, mixed, IPv6', async () => {
    await using knockd = await startKnockd(server, { config: DOORS, debian: true });
    const knock = (...args: string[]): Promise<unknown> =>
      client.exec([process.execPath, join(ROOT, 'bin/knock'), '-d', '10', ...args]);
    await knock('10.77.1.1', '7000', '8000', '9000');
    await knock('10.77.1.1', '7100:tcp', '8100:udp', '9100:tcp');
    await knock('-u', '10.77.1.1', '7200', '8200', '9200');
    await knock('fd77::1', '7000', '8000', '9000');
    await knock('-6', 'fd77::1', '7100', '8100:udp', '9100');
    const expected = ['T 10.77.1.2', 'M 10.77.1.2', 'U 10.77.1.2', 'T fd77::2', 'M fd77::2'];
    // knockd's children write when they get to it.
    assert.deepEqual((await knockd.output(expected.length)).toSorted(), expected.toSorted());
  });

  test('nmap knocks, port by port and with all ports in one call', async () => {
    await using knockd = await startKnockd(server, { config: DOORS });
    const nmap = (...args: string[]): Promise<unknown> =>
      client.exec(['nmap', '-n', '-Pn', '--max-retries', '0', '--host-timeout', '5s', ...args, '10.77.1.1'], {
        mayFail: true,
      });
    for (const port of ['7000', '8000', '9000']) await nmap('-sS', '-p', port);
    assert.deepEqual(await knockd.output(1), ['T 10.77.1.2']);
    await nmap('-sS', '-r', '--scan-delay', '20ms', '-p', '7400,8400');
    assert.deepEqual(await knockd.output(2), ['T 10.77.1.2', 'short 10.77.1.2']);
    for (const port of ['7200', '8200', '9200']) await nmap('-sU', '-p', port);
    assert.deepEqual(await knockd.output(3), ['T 10.77.1.2', 'short 10.77.1.2', 'U 10.77.1.2']);
  });

  test('connect() to ports that a firewall drops opens, although the kernel repeats its SYN', async () => {
    const rules =
      'add table inet f; add chain inet f c { type filter hook input priority 0; }; add rule inet f c tcp dport 7000-9000 drop';
    await server.exec(['nft', rules]);
    try {
      await using knockd = await startKnockd(server, { config: DOORS.replace(/seq_timeout = 5/g, 'seq_timeout = 10') });
      const connect = `const net = require('node:net');
        (async () => { for (const port of process.argv.slice(1)) await new Promise((done) => {
          const socket = net.connect(Number(port), '10.77.1.1').on('error', () => {});
          setTimeout(() => { socket.destroy(); done(); }, 1500); }); })();`;
      await client.exec([process.execPath, '-e', connect, '7000', '8000', '9000']);
      assert.deepEqual(await knockd.output(1), ['T 10.77.1.2']);
      const seen = knockd.running.lines.filter((line) => / -> 10\.77\.1\.1:7000 /.test(line));
      assert.ok(seen.length >= 2, 'there was no retransmission');
    } finally {
      await server.exec(['nft', 'delete table inet f']);
    }
  });

  test('The same packets open the same doors in Debian’s knockd and in ours, live and from a file', async (t) => {
    await using debian = await startKnockd(server, { config: DOORS, debian: true });
    await using ours = await startKnockd(server, { config: DOORS });
    const frames: PcapFrame[] = [];
    let time = 1_790_000_000_000;
    const opened: string[] = [];
    let next = 30;
    for (const scenario of SCENARIOS) {
      const names = { S: `10.77.1.${next}`, R: `10.77.1.${next + 1}`, V: `fd77::${next}` };
      next += 2;
      const packets = packetsOf(scenario.packets, names);
      const openings = (list: readonly string[]): string[] =>
        list.map((opening) => {
          const [door, who = scenario.packets.startsWith('V') ? 'V' : 'S'] = opening.split(' ');
          return `${door} ${names[who as keyof typeof names]}`;
        });
      const before = [debian, ours].map((knockd) => lines(knockd.read('out')).length) as [number, number];
      await sender.send(packets);
      const wanted = [openings(scenario.debian), openings(scenario.ours ?? scenario.debian)] as const;
      await Promise.all([settle(debian, before[0] + wanted[0].length), settle(ours, before[1] + wanted[1].length)]);
      await t.test(scenario.ours ? `${scenario.name}: ${scenario.why}` : `${scenario.name}: the same`, () => {
        assert.deepEqual(lines(debian.read('out')).slice(before[0]).sort(), wanted[0].toSorted(), 'Debian’s knockd');
        assert.deepEqual(lines(ours.read('out')).slice(before[1]).sort(), wanted[1].toSorted(), 'ours');
      });
      opened.push(...wanted[1]);
      for (const { packet, wait } of packets) {
        time += wait;
        frames.push({ time, bytes: ethernet(packet) });
      }
      time += 1000;
      await forgetAttempts(debian);
    }
    await t.test('and from a file', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'postern-replay-'));
      try {
        writeFileSync(join(folder, 'knocks.pcap'), writePcap(frames));
        writeFileSync(join(folder, 'knockd.conf'), DOORS);
        const argv = [
          process.execPath,
          join(ROOT, 'bin/knockd'),
          '-c',
          'knockd.conf',
          '-i',
          'eth0',
          '--read',
          'knocks.pcap',
        ];
        const dry = await server.exec(argv, { cwd: folder });
        const would = [...dry.stdout.matchAll(/^\S+: would run command: echo (\S+ \S+) >> out$/gm)].map(
          (match) => match[1],
        );
        assert.deepEqual(would.sort(), opened.toSorted());
        await server.exec([...argv, '--run-commands'], { cwd: folder });
        assert.deepEqual(lines(readFileSync(join(folder, 'out'), 'utf8')).sort(), opened.toSorted());
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  });
});

/** `S`, `R` and `V` become the sources, with the server's address of their family. */
function packetsOf(text: string, names: { readonly S: string; readonly R: string; readonly V: string }): TimedPacket[] {
  const line = text.replace(/(?<=^| )([SRV])(?= )/g, (_, name: 'S' | 'R' | 'V') => {
    return `src=${names[name]} dst=${name === 'V' ? 'fd77::1' : '10.77.1.1'}`;
  });
  return parsePackets(line);
}

/** Waits for that many openings, and a little for those that must not come. */
async function settle(knockd: Knockd, count: number): Promise<void> {
  for (let waited = 0; waited < 2000 && lines(knockd.read('out')).length < count; waited += 20) await sleep(20);
  await sleep(150);
}

/** Debian's knockd loses all attempts when it reads its file again: one scenario leaves the next nothing. */
async function forgetAttempts(debian: Knockd): Promise<void> {
  const from = debian.running.lines.length;
  debian.running.kill('SIGHUP');
  await debian.running.waitForLine(/^re-opening log file: /, 5000, from);
  await sleep(100);
}
