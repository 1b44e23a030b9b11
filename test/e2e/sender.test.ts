/**
 *     server eth0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 eth0 client
 *
 * What the sender sends is what tcpdump on the other side sees, with checksums that it finds right.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTopology, type Host, unavailable } from '../support/netns.ts';
import { ethernet, ipv4Packet, tcpSegment } from '../support/packet-builder.ts';
import type { Running } from '../support/running.ts';
import { startSender } from '../support/sender.ts';

const skip = unavailable('tcpdump');

async function watch(host: Host, count: number, filter = 'ip or ip6'): Promise<Running> {
  const tcpdump = host.spawn([
    'tcpdump',
    '-i',
    'eth0',
    '-nvv',
    '-e',
    '--immediate-mode',
    '-l',
    '-Q',
    'in',
    '-c',
    `${count}`,
    filter,
  ]);
  await tcpdump.waitForLine(/listening on eth0/);
  return tcpdump;
}

test('`send()` puts packets on the wire as the line says', { skip }, async () => {
  await using topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  const sender = startSender(client);
  const tcpdump = await watch(server, 7, 'net 10.77.0.0/16 or net fd77::/16');
  const line =
    'src=10.77.1.2 dst=10.77.1.1: 7000 8000/SA u9000 x2 src=10.99.0.1 7001/N src=fd77::2 dst=fd77::1: 7000 u8000';
  assert.equal((await sender.send(line)).sent, 7);
  const { stdout } = await tcpdump.end();
  assert.doesNotMatch(stdout, /incorrect|bad [a-z ]*cksum/);
  const seen = [...stdout.matchAll(/(\S+)\.\d+ > (\S+): (?:Flags (\[[^\]]*\])|\[udp sum ok\] (UDP))/g)];
  assert.deepEqual(
    seen.map(([, source, destination, flags, udp]) => [source, destination, flags ?? udp]),
    [
      ['10.77.1.2', '10.77.1.1.7000', '[S]'],
      ['10.77.1.2', '10.77.1.1.8000', '[S.]'],
      ['10.77.1.2', '10.77.1.1.9000', 'UDP'],
      ['10.77.1.2', '10.77.1.1.9000', 'UDP'],
      ['10.99.0.1', '10.77.1.1.7001', '[none]'],
      ['fd77::2', 'fd77::1.7000', '[S]'],
      ['fd77::2', 'fd77::1.8000', 'UDP'],
    ],
  );
});

test('`send()` keeps the pauses', { skip }, async () => {
  await using topology = await createTopology({ links: [['server', 'client']] });
  const sender = startSender(topology.hosts.client);
  const { seconds } = await sender.send('src=10.77.1.2 dst=10.77.1.1: gap=0 7000 @0.1 8000 @0.1 9000');
  assert.ok(seconds >= 0.2, `${seconds}`);
});

test('`sendFrames()` sends frames as they are', { skip }, async () => {
  await using topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  const tcpdump = await watch(server, 1, 'vlan 42');
  const packet = ipv4Packet({ source: '10.77.1.2', destination: '10.77.1.1' }, tcpSegment({ destinationPort: 7000 }));
  assert.equal((await startSender(client).sendFrames([ethernet(packet, { tags: [{ vlan: 42 }] })])).sent, 1);
  assert.match((await tcpdump.end()).stdout, /vlan 42.*10\.77\.1\.1\.7000/s);
});

for (const [destination, family] of [
  ['10.77.1.1', 'IPv4'],
  ['fd77::1', 'IPv6'],
] as const) {
  test(`\`flood()\` sends from distinct ${family} sources and stops at its count`, { skip }, async () => {
    await using topology = await createTopology({ links: [['server', 'client']] });
    const { server, client } = topology.hosts;
    const tcpdump = await watch(server, 300, 'port 7000');
    const { sent } = await startSender(client).flood({ destination, rate: 3000, sources: 150, count: 300 });
    assert.equal(sent, 300);
    const { stdout } = await tcpdump.end();
    assert.doesNotMatch(stdout, /incorrect|bad [a-z ]*cksum/);
    const sources = [...stdout.matchAll(/(\S+)\.\d+ > \S+\.7000: Flags \[S\], cksum 0x[0-9a-f]+ \(correct\)/g)].map(
      ([, source]) => source,
    );
    assert.equal(sources.length, 300);
    assert.equal(new Set(sources).size, 150);
  });
}

test('`flood()` stops after its time', { skip }, async () => {
  await using topology = await createTopology({ links: [['server', 'client']] });
  const { sent, seconds } = await startSender(topology.hosts.client).flood({
    destination: '10.77.1.1',
    rate: 1000,
    seconds: 0.3,
  });
  assert.ok(seconds >= 0.3 && sent <= 1000 * seconds + 1, `${sent} in ${seconds} s`);
  assert.ok(sent > 0);
});
