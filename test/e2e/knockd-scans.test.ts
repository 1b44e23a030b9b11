/**
 *     server eth0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 eth0 client
 *
 * Whole port scans against the doors of Debian's default configuration and an ascending and a random order: nothing opens, whoever scans.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Knockd, lines, startKnockd } from '../support/knockd-host.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { ipv4Packet, ipv6Packet, tcpSegment } from '../support/packet-builder.ts';
import type { TimedPacket } from '../support/packet-spec.ts';
import { startSender } from '../support/sender.ts';

const skip = unavailable('nmap');

/** /etc/knockd.conf as Debian ships it, but for what the commands do. */
const DEFAULT = `[options]
	UseSyslog

[openSSH]
	sequence    = 7000,8000,9000
	seq_timeout = 5
	command     = echo openSSH %IP% >> out
	tcpflags    = syn

[closeSSH]
	sequence    = 9000,8000,7000
	seq_timeout = 5
	command     = echo closeSSH %IP% >> out
	tcpflags    = syn

[openHTTPS]
	sequence    = 12345,54321,24680,13579
	seq_timeout = 5
	command     = echo openHTTPS %IP% >> out
	tcpflags    = syn
`;

const PORTS = 65_535;

let topology: Topology<'server' | 'client'>;
let server: Host;
let client: Host;

/** A SYN to every port, as fast as the wire takes them, in this order. */
function sweep(ports: readonly number[], source: string): TimedPacket[] {
  const six = source.includes(':');
  const build = six ? ipv6Packet : ipv4Packet;
  const destination = six ? 'fd77::1' : '10.77.1.1';
  return ports.map((port, index) => ({
    packet: build(
      { source, destination },
      tcpSegment({ sourcePort: 40_000, destinationPort: port, sequence: index + 1 }),
    ),
    wait: 0.02,
  }));
}

function shuffled(ports: readonly number[], seed: number): number[] {
  const all = [...ports];
  let state = seed;
  for (let index = all.length - 1; index > 0; index -= 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const other = state % (index + 1);
    [all[index], all[other]] = [all[other]!, all[index]!];
  }
  return all;
}

/** The knock still works, so it was not deafness that kept the doors shut. */
async function assertShutButSound(knockd: Knockd, before: number): Promise<void> {
  await sleep(300);
  assert.deepEqual(lines(knockd.read('out')).slice(before), []);
  await client.exec(['knock', '-d', '10', '10.77.1.1', '7000', '8000', '9000']);
  assert.deepEqual((await knockd.output(before + 1)).slice(before), ['openSSH 10.77.1.2']);
}

describe('A scan of all ports opens nothing', { skip }, () => {
  let knockd: Knockd;
  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server, client } = topology.hosts);
    knockd = await startKnockd(server, { config: DEFAULT });
  });
  after(async () => {
    await knockd[Symbol.asyncDispose]();
    await topology.close();
  });

  const all = Array.from({ length: PORTS }, (_, index) => index + 1);
  const orders: readonly (readonly [string, readonly number[]])[] = [
    ['ascending', all],
    ['descending', all.toReversed()],
    ['random', shuffled(all, 1)],
    ['another random', shuffled(all, 2)],
  ];
  for (const [order, ports] of orders) {
    test(`in ${order} order`, async () => {
      const before = lines(knockd.read('out')).length;
      await startSender(client).send(sweep(ports, '10.77.1.2'));
      await assertShutButSound(knockd, before);
    });
  }

  test('over IPv6', async () => {
    const before = lines(knockd.read('out')).length;
    await startSender(client).send(sweep(all, 'fd77::2'));
    await assertShutButSound(knockd, before);
  });

  for (const args of [[], ['-r']]) {
    test(`by nmap -sS -p- ${args.join(' ')}`, async () => {
      const before = lines(knockd.read('out')).length;
      await client.exec(['nmap', '-n', '-Pn', '-sS', '-p-', '-T5', ...args, '10.77.1.1'], { timeout: 60_000 });
      await assertShutButSound(knockd, before);
    });
  }
});
