/**
 *     server eth0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 eth0 client
 *            eth1 10.77.2.1 ──────────────── 10.77.2.2 eth1
 *
 * What our `knock` puts on the wire, seen by tcpdump on the server's eth0, and the doors of Debian's knockd that it opens there.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { findProgram, type Running } from '../support/running.ts';

const KNOCK = [process.execPath, join(import.meta.dirname, '../../bin/knock')];
const REAL_KNOCK = '/usr/bin/knock';

/** The port whose SYN ends a capture. */
const LAST = 65000;

/** Longer than Linux waits before it sends a SYN for the second time (1 s) and the third (2 s more). */
const RETRANSMISSIONS = 3300;

/** As many ports as knockd takes. */
const LONG = Array.from(
  { length: 32 },
  (_, index) => `${30_000 + ((index * 37) % 101)}:${index % 2 === 0 ? 'tcp' : 'udp'}`,
);

let topology: Topology<'server' | 'client'>;
let server: Host;
let client: Host;
let folder: string;

const skip = unavailable('tcpdump', 'iptables', 'ip6tables');

describe('knock on the wire', { skip }, () => {
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-knock-'));
    topology = await createTopology({
      links: [
        ['server', 'client'],
        ['server', 'client'],
      ],
    });
    ({ server, client } = topology.hosts);
  });

  after(async () => {
    await topology?.close();
    rmSync(folder, { recursive: true });
  });

  test('a TCP hit is exactly one SYN, also when the server drops it', async () => {
    for (const tool of ['iptables', 'ip6tables']) await server.exec([tool, '-A', 'INPUT', '-j', 'DROP']);
    try {
      const capture = await startCapture();
      await knock('10.77.1.1', '7000', '8000:udp', '9000');
      await knock('fd77::1', '7000', '8000:udp', '9000');
      await sleep(RETRANSMISSIONS);
      assert.deepEqual(await capture.packets(), [
        '10.77.1.2 > 10.77.1.1.7000 S',
        '10.77.1.2 > 10.77.1.1.8000 udp 1',
        '10.77.1.2 > 10.77.1.1.9000 S',
        'fd77::2 > fd77::1.7000 S',
        'fd77::2 > fd77::1.8000 udp 1',
        'fd77::2 > fd77::1.9000 S',
      ]);
    } finally {
      for (const tool of ['iptables', 'ip6tables']) await server.exec([tool, '-F', 'INPUT']);
    }
  });

  test('a TCP hit on a closed port is one SYN and counts as sent', async () => {
    const capture = await startCapture();
    const { stdout } = await knock('--json', '10.77.1.1', '7000');
    assert.equal(JSON.parse(stdout).ok, true);
    await sleep(RETRANSMISSIONS);
    assert.deepEqual(await capture.packets(), ['10.77.1.2 > 10.77.1.1.7000 S']);
  });

  test('32 mixed hits without a pause stay in order, 50 times', async () => {
    const steps = Array.from({ length: 32 }, (_, index) => ({
      port: 20_000 + ((index * 7919) % 1000),
      udp: index % 3 === 1,
    }));
    const once = steps.map(({ port, udp }) => `10.77.1.2 > 10.77.1.1.${port} ${udp ? 'udp 1' : 'S'}`);
    const ports = steps.map(({ port, udp }) => `${port}${udp ? ':udp' : ''}`);
    // Answers to closed ports would only slow the capture down.
    await server.exec(['iptables', '-A', 'INPUT', '-j', 'DROP']);
    try {
      const capture = await startCapture();
      for (let run = 0; run < 10; run += 1) await knock('-d', '0', '--repeat', '5', '10.77.1.1', ...ports);
      assert.deepEqual(await capture.packets(), new Array(50).fill(once).flat());
    } finally {
      await server.exec(['iptables', '-F', 'INPUT']);
    }
  });

  test('the first hits stay in order and are not lost while the neighbour is still unknown', async () => {
    for (const host of ['10.77.1.1', 'fd77::1']) {
      await client.exec(['ip', 'neighbour', 'delete', host, 'dev', 'eth0']);
      const capture = await startCapture();
      await knock('-d', '0', host, '7000', '8000:udp', '9000', '9001:udp');
      const from = host.includes(':') ? 'fd77::2' : '10.77.1.2';
      assert.deepEqual(await capture.packets(), [
        `${from} > ${host}.7000 S`,
        `${from} > ${host}.8000 udp 1`,
        `${from} > ${host}.9000 S`,
        `${from} > ${host}.9001 udp 1`,
      ]);
    }
  });

  test('--source and --interface set the source address', async () => {
    const capture = await startCapture();
    await knock('--source', '10.77.2.2', '10.77.1.1', '7000', '8000:udp');
    await knock('--interface', 'eth1', '10.77.1.1', '7001', '8001:udp');
    await knock('--interface', 'eth0', 'fd77::1', '7002', '8002:udp');
    assert.deepEqual(await capture.packets(), [
      '10.77.2.2 > 10.77.1.1.7000 S',
      '10.77.2.2 > 10.77.1.1.8000 udp 1',
      '10.77.2.2 > 10.77.1.1.7001 S',
      '10.77.2.2 > 10.77.1.1.8001 udp 1',
      'fd77::2 > fd77::1.7002 S',
      'fd77::2 > fd77::1.8002 udp 1',
    ]);
  });

  test('--interface gives a link-local host its zone and knocks from the link-local address', async () => {
    const [to, from] = [await linkLocal(server), await linkLocal(client)];
    const capture = await startCapture();
    await knock('--interface', 'eth0', to, '7000', '8000:udp');
    await knock(`${to}%eth0`, '9000', '9001:udp');
    assert.deepEqual(
      await capture.packets(),
      ['7000 S', '8000 udp 1', '9000 S', '9001 udp 1'].map((packet) => `${from} > ${to}.${packet}`),
    );
  });

  test('a host without a route ends the knock with status 1 at its first port', async () => {
    for (const [port, name] of [
      ['7000', 'tcp 192.0.2.1:7000'],
      ['8000:udp', 'udp 192.0.2.1:8000'],
    ] as const) {
      const { status, stdout, stderr } = await knock('--json', '192.0.2.1', port, '9000');
      assert.equal(status, 1);
      assert.equal(stderr, `Cannot hit ${name}: network is unreachable\n`);
      const { ok, sent, planned, hits } = JSON.parse(stdout);
      assert.deepEqual([ok, sent, planned, hits.length], [false, 0, 2, 1]);
    }
  });

  test("a UDP hit that this machine's own firewall refuses ends the knock with status 1", async () => {
    await client.exec(['iptables', '-A', 'OUTPUT', '-p', 'udp', '-j', 'DROP']);
    try {
      const { status, stderr } = await knock('10.77.1.1', '7000', '8000:udp', '9000');
      assert.equal(status, 1);
      assert.match(
        stderr,
        /^Cannot hit udp 10\.77\.1\.1:8000: operation not permitted\nhint: a firewall on this machine/,
      );
    } finally {
      await client.exec(['iptables', '-F', 'OUTPUT']);
    }
  });

  test("Debian's knock puts the same packets on the wire", { skip: needs(REAL_KNOCK) }, async () => {
    const argv = ['-d', '20', '10.77.1.1', '7000', '8000:udp', '9000:foo', '80'];
    const seen: (readonly string[])[] = [];
    for (const program of [[REAL_KNOCK], KNOCK]) {
      const capture = await startCapture();
      await client.exec([...program, ...argv]);
      seen.push(await capture.packets());
    }
    assert.deepEqual(seen[1], seen[0]);
    assert.equal(seen[0]?.length, 4);
  });

  describe("with Debian's knockd", { skip: unavailable('knockd') }, () => {
    let knockd: Running;

    before(async () => {
      const conf = join(folder, 'knockd.conf');
      writeFileSync(
        conf,
        `\
[mixed]
sequence = 7000,8000:udp,9000
seq_timeout = 5
tcpflags = syn
command = echo mixed %IP%
[long]
sequence = ${LONG.join(',')}
seq_timeout = 15
command = echo long %IP%
`,
      );
      knockd = server.spawn(['knockd', '-i', 'eth0', '-v', '-c', conf]);
      await knockd.waitForLine(/^listening on eth0/);
    });

    after(() => knockd?.stop());

    for (const [name, host, from] of [
      ['IPv4', '10.77.1.1', '10.77.1.2'],
      ['IPv6', 'fd77::1', 'fd77::2'],
    ] as const) {
      test(`knock opens a door of TCP and UDP ports over ${name}`, async () => {
        const start = knockd.lines.length;
        const { status, stdout } = await knock('--json', '-v', host, '7000', '8000:UDP', '9000');
        assert.equal(status, 0);
        assert.equal(JSON.parse(stdout).sent, 3);
        await knockd.waitForLine(new RegExp(`^${from}: mixed: OPEN SESAME`), 5000, start);
      });
    }

    test('knock opens a door of 32 ports', async () => {
      const start = knockd.lines.length;
      await knock('10.77.1.1', ...LONG);
      await knockd.waitForLine(/^10\.77\.1\.2: long: OPEN SESAME/, 5000, start);
    });
  });
});

function knock(...argv: readonly string[]) {
  return client.exec([...KNOCK, ...argv], { mayFail: true });
}

function needs(file: string): string | false {
  return findProgram(file.slice(file.lastIndexOf('/') + 1)) === undefined && `not installed: ${file}`;
}

/** The packets that reach the server's eth0, as `source > host.port flags`, until `packets()` is called. */
async function startCapture(): Promise<{ packets(): Promise<readonly string[]> }> {
  const filter = '(tcp or udp) and not port 5353';
  const argv = ['tcpdump', '-i', 'eth0', '-Q', 'in', '-n', '-l', '--immediate-mode', '-s', '96', filter];
  const tcpdump = server.spawn(argv);
  await tcpdump.waitForLine(/^listening on/);
  return {
    async packets() {
      await knock('10.77.1.1', String(LAST));
      await tcpdump.waitForLine(new RegExp(`\\.${LAST}: Flags \\[S\\]`));
      await tcpdump.stop();
      const packets = tcpdump.lines.map(briefly).filter((line) => line !== undefined);
      return packets.slice(
        0,
        packets.findIndex((packet) => packet.includes(`.${LAST} `)),
      );
    },
  };
}

/** `… IP 10.77.1.2.46904 > 10.77.1.1.7000: Flags [S], …` as `10.77.1.2 > 10.77.1.1.7000 S`. */
function briefly(line: string): string | undefined {
  const match = /IP6? (\S+)\.\d+ > (\S+): (.*)$/.exec(line);
  if (!match) return undefined;
  const [, from, to, rest = ''] = match;
  const flags = /^Flags \[(.*?)\]/.exec(rest)?.[1];
  return `${from} > ${to} ${flags ?? `udp ${/length (\d+)/.exec(rest)?.[1]}`}`;
}

/** The link-local address of eth0, once duplicate address detection is through with it. */
async function linkLocal(host: Host): Promise<string> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { stdout } = await host.exec(['ip', '-6', 'address', 'show', 'dev', 'eth0', 'scope', 'link', '-tentative']);
    const address = /inet6 (fe80:[^/]+)/.exec(stdout)?.[1];
    if (address !== undefined) return address;
    await sleep(50);
  }
  throw new Error('eth0 has no link-local address after 5 s');
}
