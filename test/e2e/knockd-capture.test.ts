/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * Where knockd's packets come from besides its own rings: tcpdump, several interfaces at once, files and pipes; and what it says when
 * there is nothing to listen on.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { lines, startKnockd } from '../support/knockd-host.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { ethernet, ipv4Packet, tcpSegment } from '../support/packet-builder.ts';
import { writePcap } from '../support/pcap-writer.ts';
import type { Ended } from '../support/running.ts';
import { type Sender, startSender } from '../support/sender.ts';

const skip = unavailable('tcpdump');
const KNOCKD = join(import.meta.dirname, '../../bin/knockd');

const DOOR = `[options]
 logfile = log
[A]
 sequence = 7001,8001,9001
 tcpflags = syn
 command = echo %IP% >> out
`;

describe('what knockd listens on', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let sender: Sender;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    server = topology.hosts.server;
    sender = startSender(topology.hosts.client);
    folder = mkdtempSync(join(tmpdir(), 'postern-capture-'));
    writeFileSync(join(folder, 'knockd.conf'), DOOR);
  });
  after(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const knock = (source = '10.77.1.2'): Promise<unknown> => sender.send(`src=${source} dst=10.77.1.1: 7001 8001 9001`);
  const run = (args: readonly string[], shell = 'exec "$0" "$@"'): Promise<Ended> =>
    server.exec(['sh', '-ec', shell, process.execPath, KNOCKD, '-c', 'knockd.conf', ...args], {
      cwd: folder,
      mayFail: true,
    });

  test('tcpdump, whose packets open doors by the clock', async () => {
    await using knockd = await startKnockd(server, { config: DOOR, args: ['--tcpdump'] });
    // tcpdump itself is not ready when knockd is.
    for (let round = 0; round < 20 && lines(knockd.read('out')).length === 0; round += 1) {
      await knock();
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    assert.equal(lines(knockd.read('out'))[0], '10.77.1.2');
    // Killed, it would leave a tcpdump that only its next packet ends.
    assert.equal((await knockd.stop()).status, 15);
  });

  test('an interface that there is not, or none at all: one line and status 1, whatever captures', async () => {
    for (const args of [
      ['-i', 'nosuch0'],
      ['-i', 'nosuch0', '--tcpdump'],
      ['-i', ','],
      ['-d', '-i', 'nosuch0', '--tcpdump'],
    ]) {
      const { status, stdout, stderr } = await run(args);
      assert.deepEqual([status, stdout, lines(stderr).length], [1, '', 1], `${args}: ${stderr}`);
      assert.match(stderr, /^could not open (nosuch0: nosuch0: |,: ,: no interface is named)/);
    }
  });

  test('without tcpdump, that is said', async () => {
    const hide = 'mount -t tmpfs none /usr/bin 2>/dev/null || exit 77; exec "$0" "$@"';
    const inOwnMounts = ['unshare', '--mount', 'sh', '-c', hide, process.execPath, KNOCKD, '-c', 'knockd.conf'];
    const { status, stderr } = await server.exec([...inOwnMounts, '-i', 'eth0', '--tcpdump'], {
      cwd: folder,
      mayFail: true,
    });
    assert.deepEqual([status, lines(stderr).length], [1, 1], stderr);
    assert.match(stderr, /cannot start tcpdump/);
  });

  test('`any` beside others is `any`: no packet is seen twice', async () => {
    await using knockd = await startKnockd(server, { config: DOOR, interface: 'any,eth0' });
    await knock('10.77.1.50');
    assert.deepEqual(await knockd.output(1), ['10.77.1.50']);
    await knock('10.77.1.51');
    assert.deepEqual(await knockd.output(2), ['10.77.1.50', '10.77.1.51']);
    const stages = knockd.running.lines.filter((line) => /^10\.77\.1\.51: A: Stage 1$/.test(line));
    assert.equal(stages.length, 1);
  });

  test('a capture through a pipe ends as one from a file: with status 0', async () => {
    writeFileSync(join(folder, 'knocks.pcap'), capture(['7001 8001 9001']));
    const direct = await run(['--read', 'knocks.pcap']);
    const piped = await run(['--read', '/dev/stdin'], 'cat knocks.pcap | "$0" "$@"');
    assert.deepEqual([direct.status, piped.status], [0, 0], piped.stderr);
    assert.match(direct.stdout, /would run command: echo 10\.77\.1\.2/);
    assert.equal(piped.stdout, direct.stdout);
    const late = 'mkfifo late; "$0" "$@" --read late & cat knocks.pcap >late; wait $!';
    assert.deepEqual(await run([], late), direct);
  });

  test('a pipe that nobody writes to is waited for, until a signal', async () => {
    const shell =
      'mkfifo mute; "$0" "$@" >mute.out & until grep -q ^watcher: mute.out; do sleep 0.1; done; kill $!; wait $!';
    assert.equal((await run(['-D', '--read', 'mute'], limited(shell))).status, 15);
  });

  test('of a capture each one-time sequence opens once, in its turn; without `--run-commands` none is marked', async () => {
    const sequences = ' 7001,8001,9001\n 7101,8101,9101\n';
    writeFileSync(join(folder, 'seqs'), sequences);
    writeFileSync(
      join(folder, 'once.conf'),
      '[B]\n one_time_sequences = seqs\n tcpflags = syn\n command = echo %IP%\n',
    );
    writeFileSync(
      join(folder, 'once.pcap'),
      capture(['7101 8101 9101', '7001 8001 9001', '7001 8001 9001', '7101 8101 9101', '7101 8101 9101']),
    );
    const read = ['-c', 'once.conf', '--read', 'once.pcap'];
    const dry = await run(read);
    assert.deepEqual([dry.status, matches(dry.stdout, /would run command/g)], [0, 2], dry.stdout);
    assert.equal(matches(dry.stderr, /disabling the door/g), 1);
    assert.equal(readFileSync(join(folder, 'seqs'), 'utf8'), sequences);
    const real = await run([...read, '--run-commands']);
    assert.deepEqual([real.status, matches(real.stdout, /: running command/g)], [0, 2], real.stdout);
    assert.equal(readFileSync(join(folder, 'seqs'), 'utf8'), '#7001,8001,9001\n#7101,8101,9101\n');
  });

  test('what a capture told is read at leisure', async () => {
    writeFileSync(join(folder, 'many.pcap'), capture(Array.from({ length: 1200 }, () => '7001 8001')));
    const { status, stdout } = await run(['--read', 'many.pcap'], '"$0" "$@" | { sleep 4; cat; }');
    assert.deepEqual([status, matches(stdout, /timeout \(stage 2\)/g)], [0, 1200]);
    assert.ok(stdout.length > 65_536, 'more than a pipe holds');
  });

  test('a reader that has stopped reading does not keep the daemon from ending', async () => {
    writeFileSync(join(folder, 'stalled.conf'), DOOR.replace('= log', '= stalled.log'));
    const shell = `mkfifo stalled; exec 3<>stalled; head -c 65536 /dev/zero >&3
      "$0" "$@" >&3 & until grep -q listening stalled.log; do sleep 0.1; done; kill $!; wait $!`;
    const { status, stderr } = await run(['-v', '-c', 'stalled.conf', '--state', 'state'], limited(shell));
    assert.equal(status, 15, stderr);
  });
});

/** Knocks of the client, a minute apart. */
function capture(knocks: readonly string[]): Uint8Array {
  let time = Date.UTC(2030, 0, 1);
  const frames = knocks.flatMap((ports) => {
    time += 60_000;
    return ports.split(' ').map((port, index) => {
      time += 100;
      const segment = tcpSegment({
        sourcePort: 40_000 + index,
        destinationPort: Number(port),
        sequence: time & 0xffff,
      });
      const packet = ipv4Packet({ source: '10.77.1.2', destination: '10.77.1.1' }, segment);
      return { time, bytes: ethernet(packet) };
    });
  });
  return writePcap(frames);
}

/** A shell line that ends, whatever it waits for. */
function limited(shell: string): string {
  return `timeout -s KILL 20 sh -ec '${shell}' "$0" "$@"`;
}

function matches(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}
