/**
 * What the recorded knockd runs need that their recordings do not say: files, interfaces, addresses, and what was done at
 * the remarks among the actions.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stage, Staging } from './knockd-replay.ts';
import { ethernet, ipv4Packet, ipv6Packet, type Segment, tcpSegment } from './packet-builder.ts';
import { openTun } from './tun-writer.ts';

/** The programs that our knockd has started and that are not its watcher: commands, and the guard over pending stops. */
function childrenOf({ knockd }: Stage): number[] {
  const children = readFileSync(`/proc/${knockd.pid}/task/${knockd.pid}/children`, 'utf8').trim().split(' ');
  return children
    .filter(Boolean)
    .map(Number)
    .filter((pid) => !readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('watcher'));
}

function signalChildren(signal: NodeJS.Signals): (stage: Stage) => Promise<void> {
  return async (stage) => {
    for (const pid of childrenOf(stage)) process.kill(pid, signal);
    await sleep(100);
  };
}

function rewrite(name: string, config: string): (stage: Stage) => Promise<void> {
  return async ({ folder }) => writeFileSync(join(folder, name), config);
}

/** So that the moment is `fraction` seconds after a full one: knockd counts in those. */
function at(fraction: number): () => Promise<void> {
  return async () => void (await sleep((1000 + fraction * 1000 - (Date.now() % 1000)) % 1000));
}

const syn = (port: number): Segment => tcpSegment({ sourcePort: 4444, destinationPort: port, sequence: port });
const SERVER_MAC = Uint8Array.of(2, 0x77, 0, 0, 1, 1);

/** By the sample's name up to the first hyphen. */
export const STAGES: Readonly<Record<string, Staging>> = {
  '06': { runs: 0 },
  '14a': { runs: 2 },
  '14c': { on: { 'SIGTERM to knockd now': async ({ knockd }) => knockd.kill('SIGTERM') } },
  '14d': { on: { 'SIGKILL to knockd (parent only)': async ({ knockd }) => knockd.kill('SIGKILL') } },
  '14e': { on: { 'SIGTERM to the sleeping child only': signalChildren('SIGTERM') }, runs: 2 },
  '14f': {
    on: { 'SIGHUP to the sleeping child only (as killall -HUP knockd would also do)': signalChildren('SIGHUP') },
  },
  '14g': { runs: 2 },
  '14j': {
    within: `umask 022; exec env -i FOO=1 PATH="$PATH" PWD="$PWD" sh -c 'exec "$0" "$@" 2>&1' "$0" "$@"`,
  },
  // Ours waits two seconds at its end for a command; knockd for ever.
  '14k': { linger: 1000 },
  '15a': {
    files: {
      '15a-one-time.seqs':
        '# comment line\n\n 7000,8000\n7100,8100:udp\nbadline:xyz\n  7200:tcp , 8200:tcp \n#7300,8300\n 7000,8000\n',
    },
  },
  '15b': { files: { '15b-one-time-exhausted-at-start.seqs': '#7000,8000\n' } },
  '15d': {
    files: {
      '15d-one-time-memcmp-bug.seqs': ' 7000,8000,9000,9001\n 7000,8000,9100,9101\n 7000,8000,9200,9201\n',
    },
  },
  '15e': { files: { '15e-one-time-plus-other-door.seqs': ' 7000,8000\n' } },
  '15f': { files: { '15f-one-time-ipv6.seqs': ' 7000,8000\n 7100,8100\n 7200,8200\n' } },
  '15g': {
    files: { '15g-one-time-attempt-survives-sequence-change.seqs': ' 7000,8000\n 7100,8100\n 7200,8200\n' },
    runs: 1,
  },
  '15h': {
    files: { '15h-one-time-next-sequence-longer.seqs': ' 7000,8000\n 7100,7200,7300,7400\n 7200,8200\n' },
    runs: 1,
  },
  '16a': { pause: [1300, 1600], runs: 6 },
  '20a': {
    on: {
      'signal 1': rewrite(
        '20a-hup-new-config.conf',
        `[options]
\tlogfile = 20a-hup-new-config.newlog
[B]
\tsequence = 7100,8100
\tseq_timeout = 5
\ttcpflags = syn
\tcommand = echo new %IP% >> 20a-hup-new-config.cmd
`,
      ),
    },
  },
  '20b': { on: { 'signal 1': rewrite('20b-hup-broken-config.conf', '[A]\n\tsequence = 7000:xyz\n') } },
  '20d': {
    on: {
      'address 10.77.1.8 added after start': async ({ server }) => {
        await server.exec(['ip', 'address', 'add', '10.77.1.8/24', 'dev', 'kds0']);
        await sleep(200);
      },
    },
    after: 'ip address del 10.77.1.8/24 dev kds0',
  },
  '20h': {
    on: {
      'after link down 1 s': async ({ server }) => {
        await server.exec(['ip', 'link', 'set', 'kds0', 'down']);
        await sleep(1000);
        // The kernel forgets IPv6 addresses and neighbours of a link that goes down.
        const again = [
          'ip link set kds0 up',
          'ip address replace fd77::1/64 dev kds0 nodad',
          'ip address replace fe80::77:ff:fe00:101/64 dev kds0 nodad',
          'ip neighbour replace 10.77.1.2 lladdr 02:77:00:00:01:02 dev kds0 nud permanent',
          'ip neighbour replace fd77::2 lladdr 02:77:00:00:01:02 dev kds0 nud permanent',
        ];
        await server.exec(['sh', '-ec', again.join('\n')]);
        await sleep(200);
      },
    },
  },
  '23': {
    files: { hosts: '10.77.1.2 laptop.kd.test\nfd77::2 laptop6.kd.test\n' },
    within: 'mount --bind hosts /etc/hosts',
    pause: [0, 2200],
  },
  '24a': {
    before:
      'ip link add kdd0 type veth peer name kdd1; ip address add 10.77.2.1/24 dev kdd0; ip link set kdd1 up; ip link set kdd0 up',
    on: {
      'interface deleted while running': async ({ server }) => {
        await server.exec(['ip', 'link', 'del', 'kdd0']);
        await sleep(200);
      },
    },
    after: 'ip link del kdd0 2>/dev/null || true',
  },
  '24b': {
    before: 'ip link add kdd0 type veth peer name kdd1; ip link set kdd1 up; ip link set kdd0 up',
    after: 'ip link del kdd0',
  },
  '24c': { before: 'ip link add kdd0 type veth peer name kdd1', after: 'ip link del kdd0' },
  '24d': {
    before: `ip tuntap add kdt0 mode tun
ip address add 10.77.3.1/24 dev kdt0
ip address add fd78::1/64 dev kdt0 nodad
ip address add fe80::1/64 dev kdt0 nodad
ip link set kdt0 up`,
    on: {
      'SYN 7000, 8000 over IPv4 then over IPv6 injected through the tun device': async ({ server }) => {
        const tun = await openTun(server, 'kdt0');
        await sleep(100);
        const four = { source: '10.77.3.2', destination: '10.77.3.1' };
        const six = { source: 'fd78::2', destination: 'fd78::1' };
        await tun.write([7000, 8000].map((port) => ipv4Packet(four, syn(port))));
        await tun.write([7000, 8000].map((port) => ipv6Packet(six, syn(port))));
        await sleep(100);
        await tun.close();
      },
    },
    after: 'ip link del kdt0',
  },
  '25b': {
    on: Object.fromEntries(
      [0.05, 0.5, 0.9, 0.97].map((fraction) => [`start at x.${fraction} s, second knock 0.1 s later`, at(fraction)]),
    ),
  },
  '26': {
    on: {
      'frames with an 802.1Q tag (vid 0, priority tag) for the local address': async ({ sender }) => {
        const addresses = { source: '10.77.1.2', destination: '10.77.1.1' };
        const tagged = { tags: [{ vlan: 0 }], destination: SERVER_MAC };
        await sender.sendFrames([7000, 8000].map((port) => ethernet(ipv4Packet(addresses, syn(port)), tagged)));
      },
    },
  },
  '31': {
    before: `nft add table inet f
nft 'add chain inet f c { type filter hook input priority 0; }'
nft add rule inet f c tcp dport 7000-9000 drop`,
    after: 'nft delete table inet f',
    packetsVary: true,
  },
  '33': {
    before: 'ip address add 10.77.1.7/24 dev kds0',
    after: 'ip address del 10.77.1.7/24 dev kds0',
  },
};
