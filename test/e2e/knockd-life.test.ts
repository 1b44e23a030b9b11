/**
 *     server eth0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 eth0 client (packets also from .20 and up, forged)
 *            eth1 10.77.2.1 ──────────────── 10.77.2.2 eth1
 *
 * What knockd lives through: its halves killed in every combination while doors are open, reloads, interfaces and addresses that come
 * and go, a second instance, one-time files. Each test has ports and a source address of its own, so they can share the wire.
 */

import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { watcherAccount } from '../../src/platform/accounts.ts';
import { isAlive, type Knockd, lines, startKnockd, until, watcherOf } from '../support/knockd-host.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { ethernet, ipv4Packet, tcpSegment } from '../support/packet-builder.ts';
import { type Sender, startSender } from '../support/sender.ts';

const skip = unavailable();
const KNOCKD = join(import.meta.dirname, '../../bin/knockd');

const LABS = 3;

/** Two hosts that no other test of this moment uses. */
interface Scene {
  readonly topology: Topology<'server' | 'client'>;
  readonly server: Host;
  readonly client: Host;
  /** A client of its own: an address nobody else knocks from. */
  newClient(): Knocker;
}

interface Knocker {
  readonly address: string;
  readonly sender: Sender;
  /** Sends what the notation of packet-spec.ts says, from its address to the server's. */
  knock(ports: string): Promise<void>;
}

const scenes: Scene[] = [];

async function openScene(): Promise<Scene> {
  const topology = await createTopology({
    links: [
      ['server', 'client'],
      ['server', 'client'],
    ],
  });
  const { server, client } = topology.hosts;
  let last = 19;
  let sender: Sender | undefined;
  return {
    topology,
    server,
    client,
    newClient() {
      last += 1;
      const address = `10.77.1.${last}`;
      sender ??= startSender(client);
      const hand = sender;
      return {
        address,
        sender: hand,
        knock: async (ports) => void (await hand.send(`src=${address} dst=10.77.1.1: ${ports}`)),
      };
    },
  };
}

function scenario(name: string, act: (scene: Scene, t: TestContext) => Promise<void>): void {
  test(name, async (t) => {
    const scene = scenes.pop();
    assert.ok(scene);
    try {
      await act(scene, t);
    } finally {
      scenes.push(scene);
    }
  });
}

/** A door that writes down when it opens and closes, in milliseconds. */
function timedDoor(seconds: number, rest = ''): string {
  return `[A]
  sequence = 7000,8000
  tcpflags = syn
  start_command = echo start %IP% $(date +%s%3N) >> out
  cmd_timeout = ${seconds}
  stop_command = echo stop %IP% $(date +%s%3N) >> out
${rest}`;
}

const PLAIN_DOOR = '[A]\nsequence = 7000,8000\ntcpflags = syn\ncommand = echo A %IP% >> out\n';

function times(all: readonly string[], what: string): number[] {
  return all.filter((line) => line.startsWith(`${what} `)).map((line) => Number(line.split(' ')[2]));
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) process.kill(pid, 'SIGKILL');
}

/** Kills the daemon and everything it has started at one blow: nobody is left to close anything. */
async function killEverything(knockd: Knockd): Promise<void> {
  const pids = [knockd.running.pid, ...knockd.descendants()];
  // Stopped first, so that none of them notices the death of another.
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  killAll(pids);
  await knockd.running.ended;
}

describe('knockd', { skip, concurrency: LABS }, () => {
  before(async () => {
    for (let count = 0; count < LABS; count += 1) scenes.push(await openScene());
  });
  after(async () => {
    await Promise.all(scenes.map((scene) => scene.topology.close()));
  });

  scenario(
    'A killed watcher is replaced, and a knock sent right after the kill opens',
    async ({ server, newClient }, t) => {
      await using knockd = await startKnockd(server, { config: PLAIN_DOOR });
      const { address, knock } = newClient();
      for (let round = 1; round <= 3; round += 1) {
        const from = knockd.running.lines.length;
        const start = performance.now();
        process.kill(knockd.watcher(), 'SIGKILL');
        await knock('7000 8000');
        assert.deepEqual(await knockd.output(round), Array(round).fill(`A ${address}`));
        t.diagnostic(`killed, restarted, opened: ${Math.round(performance.now() - start)} ms`);
        await knockd.running.waitForLine(/^watcher was killed by SIGKILL, starting another$/, 1000, from);
      }
    },
  );

  scenario('The watcher has a session, a user id and a standard error of its own', async ({ server }) => {
    await using knockd = await startKnockd(server, { config: PLAIN_DOOR });
    const pid = knockd.watcher();
    const { uid, gid } = watcherAccount();
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    assert.match(status, new RegExp(`^Uid:(\\t${uid}){4}$`, 'm'));
    assert.match(status, new RegExp(`^Gid:(\\t${gid}){4}$`, 'm'));
    assert.equal(
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')[3],
      String(pid),
    );
    const target = (fd: number, of: number): string => readlinkSync(`/proc/${of}/fd/${fd}`);
    assert.deepEqual([target(0, pid), target(1, pid)], ['/dev/null', '/dev/null']);
    assert.match(target(2, pid), /^(socket|pipe):/);
    assert.notEqual(target(2, pid), target(2, knockd.running.pid));
  });

  scenario('A killed keeper takes its watcher with it', async ({ server }) => {
    await using knockd = await startKnockd(server, { config: PLAIN_DOOR });
    const watcher = knockd.watcher();
    await knockd.stop('SIGKILL');
    await until(
      () => !isAlive(watcher),
      () => 'the end of the watcher',
    );
  });

  scenario('A pending stop command runs on time when the daemon is killed', async ({ server, newClient }) => {
    await using knockd = await startKnockd(server, { config: timedDoor(2) });
    const { address, knock } = newClient();
    await knock('7000 8000');
    await knockd.output(1);
    await until(
      () => knockd.descendants().length === 2,
      () => 'the guard',
    );
    process.kill(knockd.running.pid, 'SIGKILL');
    const all = await knockd.output(2);
    const [start, stop] = [times(all, 'start')[0]!, times(all, 'stop')[0]!];
    assert.ok(stop - start >= 1990, `${stop - start} ms`);
    const { stdout } = await knockd.running.ended;
    assert.match(stdout, new RegExp(`^${address}: A: command timeout$`, 'm'));
    assert.equal((await knockd.output(2)).length, 2);
  });

  scenario(
    'A stop command that is overdue at the start runs at once, after everything was killed',
    async ({ server, newClient }) => {
      const folder = mkdtempSync(join(tmpdir(), 'postern-life-'));
      try {
        const { address, knock } = newClient();
        {
          await using knockd = await startKnockd(server, { config: timedDoor(1), folder });
          await knock('7000 8000');
          await knockd.output(1);
          await killEverything(knockd);
        }
        await sleep(1500);
        assert.equal(lines(readFileSync(join(folder, 'out'), 'utf8')).length, 1);
        await using again = await startKnockd(server, { config: PLAIN_DOOR, folder });
        const all = await again.output(2);
        assert.match(all[1]!, new RegExp(`^stop ${address} `));
        await again.running.waitForLine(/^1 stop command is pending from before$/);
        await again.stop();
        // It is done: nobody runs it again.
        await using last = await startKnockd(server, { config: PLAIN_DOOR, folder });
        await sleep(300);
        assert.equal((await last.output(2)).length, 2);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  scenario('A stop command that is not yet due at the start runs when it is', async ({ server, newClient }) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-life-'));
    try {
      const { knock } = newClient();
      {
        await using knockd = await startKnockd(server, { config: timedDoor(4), folder });
        await knock('7000 8000');
        await knockd.output(1);
        await killEverything(knockd);
      }
      await using again = await startKnockd(server, { config: timedDoor(4), folder });
      const all = await again.output(2);
      assert.ok(times(all, 'stop')[0]! - times(all, 'start')[0]! >= 3990);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  scenario(
    'SIGTERM ends it at once; the pending stop command runs on time, once, whether a new daemon comes or not',
    async ({ server, newClient }) => {
      const folder = mkdtempSync(join(tmpdir(), 'postern-life-'));
      try {
        const { knock } = newClient();
        const config = timedDoor(2);
        await using knockd = await startKnockd(server, { config, folder });
        await knock('7000 8000');
        await knockd.output(1);
        process.kill(knockd.running.pid, 'SIGTERM');
        await until(
          () => !isAlive(knockd.running.pid),
          () => 'its end',
        );
        assert.equal(lines(knockd.read('out')).length, 1);
        const first = await knockd.output(2);
        assert.ok(times(first, 'stop')[0]! - times(first, 'start')[0]! >= 1990);
        assert.equal((await knockd.running.ended).status, 15);

        await using second = await startKnockd(server, { config, folder });
        await knock('7000 8000');
        await second.output(3);
        process.kill(second.running.pid, 'SIGTERM');
        await until(
          () => !isAlive(second.running.pid),
          () => 'its end',
        );
        await using third = await startKnockd(server, { config, folder });
        await third.running.waitForLine(/^1 stop command is pending from before$/);
        const all = await third.output(4);
        assert.ok(times(all, 'stop')[1]! - times(all, 'start')[1]! >= 1990);
        await sleep(500);
        assert.equal((await third.output(4)).length, 4);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  scenario('A repeated knock renews: one start, one stop, later', async ({ server, newClient }) => {
    await using knockd = await startKnockd(server, { config: timedDoor(2) });
    const { address, knock } = newClient();
    await knock('7000 8000 @1 7000 8000');
    const renewed = Date.now();
    const all = await knockd.output(2);
    await knockd.running.waitForLine(new RegExp(`^${address}: A: renewed for 2 s$`));
    assert.equal(times(all, 'start').length, 1);
    assert.ok(times(all, 'stop')[0]! - renewed >= 1900, `${times(all, 'stop')[0]! - renewed} ms`);
    await sleep(500);
    assert.equal((await knockd.output(2)).length, 2);
  });

  scenario('A start command that failed is tried again by the next knock', async ({ server, newClient }) => {
    const config = `[A]
  sequence = 7000,8000
  tcpflags = syn
  start_command = echo try >> out; test -e ready
  cmd_timeout = 2
  stop_command = echo stop >> out
`;
    await using knockd = await startKnockd(server, { config });
    const { knock } = newClient();
    await knock('7000 8000');
    await knockd.running.waitForLine(/^A: command returned non-zero status code \(1\)$/);
    knockd.write('ready', '');
    await knock('7000 8000');
    assert.deepEqual(await knockd.output(2), ['try', 'try']);
    const renewal = knockd.running.lines.length;
    await knock('7000 8000');
    await knockd.running.waitForLine(/renewed for 2 s/, 2000, renewal);
    assert.deepEqual(await knockd.output(3), ['try', 'try', 'stop']);
  });

  scenario(
    'A slow command delays no other door and no other client, and is reported',
    async ({ server, newClient }) => {
      const config = `[slow]
  sequence = 7000,8000
  tcpflags = syn
  start_command = echo begun %IP% >> out; sleep 2; echo done %IP% >> out
  cmd_timeout = 1
  stop_command = echo stop %IP% >> out
[quick]
  sequence = 7100,8100
  tcpflags = syn
  command = echo quick %IP% >> out
`;
      await using knockd = await startKnockd(server, { config });
      const one = newClient();
      const two = newClient();
      await one.knock('7000 8000 7100 8100');
      await two.knock('7000 8000 7100 8100');
      assert.deepEqual((await knockd.output(4)).toSorted(), [
        `begun ${one.address}`,
        `begun ${two.address}`,
        `quick ${one.address}`,
        `quick ${two.address}`,
      ]);
      await knockd.running.waitForLine(/^slow: command still running: echo begun/);
      const all = await knockd.output(8);
      for (const { address } of [one, two]) {
        assert.deepEqual(
          all.filter((line) => line.endsWith(` ${address}`) && !line.startsWith('quick')),
          [`begun ${address}`, `done ${address}`, `stop ${address}`],
        );
      }
    },
  );

  scenario(
    'Commands inherit descriptors 0 to 2 and no other, and have a session of their own',
    async ({ server, newClient }) => {
      const config = `[A]
  sequence = 7000,8000
  tcpflags = syn
  command = (ls /proc/self/fd; cut -d' ' -f1,5,6 /proc/$$/stat) >> out
`;
      // As a careless parent does: descriptors left open, near and far.
      const within = `exec bash -c 'exec 7</dev/null 30</dev/null 251</dev/null; exec "$0" "$@"' "$0" "$@"`;
      await using knockd = await startKnockd(server, { config, within });
      const { knock } = newClient();
      await knock('7000 8000');
      const all = await knockd.output(5);
      assert.deepEqual(all.slice(0, 4), ['0', '1', '2', '3'], 'the fourth is that of ls itself');
      const [pid, group, session] = all[4]!.split(' ');
      assert.equal(group, pid);
      assert.equal(session, pid);
    },
  );

  scenario('An address that is added or changed while it runs can be knocked on', async ({ server, newClient }) => {
    await using knockd = await startKnockd(server, { config: PLAIN_DOOR });
    const { address, sender } = newClient();
    const knock = (destination: string): Promise<unknown> =>
      sender.send(`src=${address} dst=${destination}: 7000 8000`);
    await knock('10.77.1.101');
    await server.exec(['ip', 'address', 'add', '10.77.1.101/24', 'dev', 'eth0']);
    await sleep(200);
    await knock('10.77.1.101');
    await knockd.output(1);
    await server.exec(['ip', 'address', 'del', '10.77.1.101/24', 'dev', 'eth0']);
    await server.exec(['ip', 'address', 'add', '10.77.1.102/24', 'dev', 'eth0']);
    await sleep(200);
    await knock('10.77.1.101');
    await knock('10.77.1.102');
    await knockd.output(2);
    await sleep(200);
    assert.equal((await knockd.output(2)).length, 2);
    await server.exec(['ip', 'address', 'del', '10.77.1.102/24', 'dev', 'eth0']);
  });

  scenario('An interface that is deleted and made again works again, and so do the others meanwhile', async (scene) => {
    const { server, client, newClient } = scene;
    await using knockd = await startKnockd(server, { config: PLAIN_DOOR, interface: 'eth0,eth1' });
    const { address, knock } = newClient();
    const [, near] = server.interfaces;
    const [, far] = client.interfaces;
    assert.ok(near && far);
    await server.exec(['ip', 'link', 'del', 'eth1']);
    await knockd.running.waitForLine(/^interface eth1 disappeared, waiting for it to come back$/);
    await knock('7000 8000');
    await knockd.output(1);
    const again = [
      `ip link add eth1 address ${near.mac} netns ${server.namespace} type veth peer name eth1 address ${far.mac} netns ${client.namespace}`,
      `ip -n ${server.namespace} address add ${near.address4}/24 dev eth1`,
      `ip -n ${client.namespace} address add ${far.address4}/24 dev eth1`,
      `ip -n ${client.namespace} link set eth1 up`,
      `ip -n ${server.namespace} link set eth1 up`,
    ];
    await server.exec(['sh', '-ec', again.join('\n')]);
    await knockd.running.waitForLine(/^interface eth1 is back$/);
    await sleep(200);
    await startSender(client, far).send(`src=${address} dst=${near.address4}: 7000 8000`);
    assert.deepEqual(await knockd.output(2), [`A ${address}`, `A ${address}`]);
  });

  for (const interfaces of ['eth0,eth1', 'any']) {
    scenario(
      `\`-i ${interfaces}\` hears both interfaces, and steps that come over different ones`,
      async ({ server, client, newClient }) => {
        await using knockd = await startKnockd(server, { config: PLAIN_DOOR, interface: interfaces });
        const { address } = newClient();
        const [left, right] = [startSender(client), startSender(client, client.interfaces[1]!)];
        await left.send(`src=${address} dst=10.77.1.1: 7000 8000`);
        await right.send(`src=${address} dst=10.77.2.1: 7000 8000`);
        await knockd.output(2);
        await left.send(`src=${address} dst=10.77.1.1: 7000`);
        await sleep(100);
        await right.send(`src=${address} dst=10.77.2.1: 8000`);
        assert.deepEqual(await knockd.output(3), Array(3).fill(`A ${address}`));
      },
    );
  }

  scenario(
    'Frames with one or two VLAN tags knock; fragments are dropped and counted',
    async ({ server, client, newClient }) => {
      await using knockd = await startKnockd(server, { config: PLAIN_DOOR });
      const { address, sender } = newClient();
      const destination = Uint8Array.from(
        client.interfaces[0]!.peerMac.split(':').map((byte) => Number.parseInt(byte, 16)),
      );
      const addresses = { source: address, destination: '10.77.1.1' };
      const syn = (port: number): Uint8Array =>
        ipv4Packet(addresses, tcpSegment({ destinationPort: port, sequence: port }));
      for (const [count, tags] of [[{ vlan: 42 }], [{ type: 0x88a8, vlan: 7 }, { vlan: 42 }]].entries()) {
        await sender.sendFrames([7000, 8000].map((port) => ethernet(syn(port), { tags, destination })));
        await knockd.output(count + 1);
      }
      const fragment = (port: number): Uint8Array =>
        ipv4Packet(
          { ...addresses, moreFragments: true, identification: port },
          tcpSegment({ destinationPort: port, payload: new Uint8Array(4) }),
        );
      await sender.sendFrames([7000, 8000].map((port) => ethernet(fragment(port), { destination })));
      await sleep(1500);
      knockd.running.kill('SIGUSR2');
      await knockd.running.waitForLine(/ packets, 0 lost, .*dropped \(.*fragment.*\)/);
      assert.equal((await knockd.output(2)).length, 2);
    },
  );

  scenario(
    'A reload that fails keeps the doors; one that succeeds brings new doors and a new log file',
    async ({ server, newClient }) => {
      await using knockd = await startKnockd(server, { config: `[options]\nlogfile = first.log\n${PLAIN_DOOR}` });
      const { address, knock } = newClient();
      knockd.write('knockd.conf', '[A]\nsequence = 7000:xyz\n');
      knockd.running.kill('SIGHUP');
      await knockd.running.waitForLine(/^the configuration is unchanged$/);
      assert.match(knockd.read('first.log'), /knockd\.conf:2: Cannot use the protocol "xyz"/);
      await knock('7000 8000');
      await knockd.output(1);

      await knock('7000');
      knockd.write('knockd.conf', `[options]\nlogfile = first.log\n${PLAIN_DOOR}`);
      let from = knockd.running.lines.length;
      knockd.running.kill('SIGHUP');
      await knockd.running.waitForLine(/^re-opening log file: /, 5000, from);
      await knock('8000');
      await knockd.output(2);

      knockd.write(
        'knockd.conf',
        `[options]\nlogfile = second.log\n[B]\nsequence = 7100,8100\ncommand = echo B %IP% >> out\n`,
      );
      from = knockd.running.lines.length;
      knockd.running.kill('SIGHUP');
      await knockd.running.waitForLine(/^re-opening log file: .*second\.log$/, 5000, from);
      await sleep(100);
      await knock('7000 8000 7100 8100');
      assert.deepEqual(await knockd.output(3), [`A ${address}`, `A ${address}`, `B ${address}`]);
      assert.match(knockd.read('first.log'), /re-reading config file: .*\n\n$/);
      assert.match(knockd.read('second.log'), /B: OPEN SESAME/);
    },
  );

  scenario(
    'A door whose stop command changed by a reload is closed in the old way, and opened in the new',
    async ({ server, newClient }) => {
      const config = (version: number): string => `[A]
  sequence = 7000,8000
  tcpflags = syn
  start_command = echo start ${version} >> out
  cmd_timeout = 2
  stop_command = echo stop ${version} >> out
`;
      await using knockd = await startKnockd(server, { config: config(1) });
      const { knock } = newClient();
      await knock('7000 8000');
      await knockd.output(1);
      knockd.write('knockd.conf', config(2));
      knockd.running.kill('SIGHUP');
      await knockd.running.waitForLine(/^re-opening log file: /);
      await knock('7000 8000');
      assert.deepEqual((await knockd.output(4)).toSorted(), ['start 1', 'start 2', 'stop 1', 'stop 2']);
    },
  );

  describeDaemon();
  describeOneTime();

  scenario('The log goes to syslog as Debian’s knockd sends it', async ({ server, newClient }) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-syslog-'));
    try {
      // Node has no datagram sockets of the local kind: Perl, part of every Debian, listens.
      const listener = server.spawn([
        'perl',
        '-MSocket',
        '-e',
        '$|=1; socket(S,PF_UNIX,SOCK_DGRAM,0) or die; bind(S,sockaddr_un($ARGV[0])) or die "bind: $!"; print "ready\\n"; while (defined recv(S,$m,2048,0)) { $m =~ s/\\n/\\\\n/g; print "$m\\n" }',
        join(folder, 'log'),
      ]);
      await listener.waitForLine(/^ready$/);
      const config = `[options]\nUseSyslog\n[A]\nsequence = 7000,8000\nseq_timeout = 1\ncommand = exit 4\n`;
      // A /dev of its own, with the listener in it.
      const devices = `mkdir dev; mount -t tmpfs none dev
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd; touch dev/log; mount --bind log dev/log; mount --rbind dev /dev`;
      const within = `exec unshare -m sh -ec '${devices}; exec "$0" "$@"' "$0" "$@"`;
      await using knockd = await startKnockd(server, { config, within, folder });
      const { address, knock } = newClient();
      await knock('7000 8000');
      await knockd.running.waitForLine(/non-zero/);
      await knock('7000');
      await knockd.running.waitForLine(/sequence timeout/);
      knockd.running.kill('SIGHUP');
      await knockd.running.waitForLine(/^re-opening log file/);
      assert.equal((await knockd.stop()).status, 15);
      await listener.waitForLine(/shutting down/);
      const datagrams = listener.lines
        .slice(1)
        .map((line) => line.replace(/^<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d knockd: /, 'OK '));
      assert.deepEqual(datagrams, [
        'OK starting up, listening on eth0',
        `OK ${address}: A: Stage 1`,
        `OK ${address}: A: Stage 2`,
        `OK ${address}: A: OPEN SESAME`,
        'OK A: running command: exit 4\\n',
        'OK A: command returned non-zero status code (4)',
        `OK ${address}: A: Stage 1`,
        `OK ${address}: A: sequence timeout (stage 1)\\n`,
        `OK re-reading config file: ${folder}/knockd.conf\\n`,
        'OK re-opening log file: \\n',
        'OK shutting down',
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  scenario('Without privilege it says so in one line and ends with 1', async ({ server }) => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-plain-'));
    try {
      writeFileSync(join(folder, 'knockd.conf'), PLAIN_DOOR);
      chmodSync(folder, 0o755);
      const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all'];
      const ended = await server.exec([...nobody, process.execPath, KNOCKD, '-i', 'eth0', '-c', 'knockd.conf'], {
        cwd: folder,
        mayFail: true,
      });
      assert.deepEqual(
        { status: ended.status, stderr: ended.stderr, stdout: ended.stdout },
        {
          status: 1,
          stderr: `could not open eth0: eth0: You don't have permission to perform this capture on that device (socket: Operation not permitted)\n`,
          stdout: '',
        },
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  scenario(
    'Honest knocks open while another host sends first steps from ever new addresses',
    async ({ server, client, newClient }) => {
      const config = PLAIN_DOOR.replace('7000,8000', '7000,8000,9000\nseq_timeout = 3');
      await using knockd = await startKnockd(server, { config });
      const { knock } = newClient();
      const noise = startSender(client).flood({
        destination: '10.77.1.1',
        rate: 2000,
        seconds: 5,
        firstSource: '10.78.0.0',
      });
      for (let count = 1; count <= 5; count += 1) {
        await knock('gap=0.2 7000 8000 9000');
        await knockd.output(count);
      }
      await noise;
    },
  );
});

/** `-d`: the pid file and its lock, the terminal, the first process's exit status. */
function describeDaemon(): void {
  const inFolder = async (act: (folder: string) => Promise<void>): Promise<void> => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-daemon-'));
    try {
      await act(folder);
    } finally {
      const pid = existsSync(join(folder, 'pid')) ? Number(readFileSync(join(folder, 'pid'), 'utf8')) : 0;
      if (pid > 0 && isAlive(pid)) process.kill(pid, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  };
  const start = (server: Host, folder: string, ...more: string[]): ReturnType<Host['exec']> =>
    server.exec(
      [
        process.execPath,
        KNOCKD,
        '-d',
        '-v',
        '-i',
        'eth0',
        '-c',
        'knockd.conf',
        '-p',
        'pid',
        '-g',
        'log',
        '--state',
        'state',
        ...more,
      ],
      { cwd: folder, mayFail: true, timeout: 20_000 },
    );

  scenario('`-d` leaves terminal and directory, and returns 0 when it listens', ({ server, newClient }) =>
    inFolder(async (folder) => {
      writeFileSync(
        join(folder, 'knockd.conf'),
        `[A]\nsequence = 7000,8000\ncommand = (pwd; ls -l /proc/self/fd) > ${folder}/out 2>&1\n`,
      );
      // exec() waits for the pipes to close too: nobody may hold on to them.
      const ended = await start(server, folder);
      assert.equal(ended.status, 0, ended.stderr);
      const pidFile = readFileSync(join(folder, 'pid'), 'utf8');
      assert.match(pidFile, /^\d+\n$/);
      assert.equal(statSync(join(folder, 'pid')).mode & 0o133, 0);
      const pid = Number(pidFile);
      assert.equal(isAlive(pid), true);
      assert.match(readFileSync(`/proc/${pid}/stat`, 'utf8'), new RegExp(`^${pid} \\(.*\\) [RS] \\d+ ${pid} ${pid} `));
      const { knock } = newClient();
      await knock('7000 8000');
      await until(
        () => existsSync(join(folder, 'out')) && lines(readFileSync(join(folder, 'out'), 'utf8')).length >= 6,
        () => 'the command',
      );
      const [directory] = lines(readFileSync(join(folder, 'out'), 'utf8'));
      assert.equal(directory, '/');

      // A relative path still means the directory of the start.
      writeFileSync(join(folder, 'knockd.conf'), `[B]\nsequence = 7100,8100\ncommand = echo B > ${folder}/b\n`);
      process.kill(pid, 'SIGHUP');
      await until(
        () => readFileSync(join(folder, 'log'), 'utf8').includes('re-reading'),
        () => 'the reload',
      );
      await sleep(200);
      await knock('7100 8100');
      await until(
        () => existsSync(join(folder, 'b')),
        () => 'the new door',
      );
      process.kill(pid, 'SIGTERM');
      await until(
        () => !isAlive(pid),
        () => 'its end',
      );
      assert.equal(existsSync(join(folder, 'pid')), false);
    }),
  );

  scenario('A second daemon with the same pid file is refused in one line and leaves the first alone', ({ server }) =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, 'knockd.conf'), PLAIN_DOOR);
      assert.equal((await start(server, folder)).status, 0);
      const pid = readFileSync(join(folder, 'pid'), 'utf8').trim();
      const second = await start(server, folder);
      assert.equal(second.status, 1);
      assert.equal(second.stderr, `knockd is already running (pid ${pid}): it holds the pid file ${folder}/pid\n`);
      assert.equal(readFileSync(join(folder, 'pid'), 'utf8').trim(), pid);
      assert.equal(isAlive(Number(pid)), true);
      // A pid file that a killed daemon left is no obstacle.
      const watcher = watcherOf(Number(pid));
      process.kill(Number(pid), 'SIGKILL');
      await until(
        () => !isAlive(Number(pid)) && !isAlive(watcher),
        () => 'its end',
      );
      assert.equal((await start(server, folder)).status, 0);
      const next = Number(readFileSync(join(folder, 'pid'), 'utf8'));
      process.kill(next, 'SIGTERM');
      await until(
        () => !isAlive(next),
        () => 'its end',
      );
    }),
  );

  scenario('`-d` with a broken configuration, or without its interface, returns 1 and says why', ({ server }) =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, 'knockd.conf'), '[A]\nsequence = 7000:xyz\n');
      const broken = await start(server, folder);
      assert.equal(broken.status, 1);
      assert.match(broken.stderr, /^config: section A: unknown protocol in knock sequence$/m);
      writeFileSync(join(folder, 'knockd.conf'), PLAIN_DOOR);
      const missing = await start(server, folder, '-i', 'none0');
      assert.equal(missing.status, 1);
      assert.equal(existsSync(join(folder, 'pid')), false);
    }),
  );

  scenario('A pid file that cannot be written is a line in the log, no more', ({ server }) =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, 'knockd.conf'), PLAIN_DOOR);
      const ended = await start(server, folder, '-p', '/nonexistent/pid');
      assert.equal(ended.status, 0);
      const log = readFileSync(join(folder, 'log'), 'utf8');
      assert.match(log, /could not create pid file \/nonexistent\/pid: No such file or directory\n/);
      const pid = daemonIn(folder);
      process.kill(pid, 'SIGTERM');
      await until(
        () => !isAlive(pid),
        () => 'its end',
      );
    }),
  );
}

/** The daemon of a folder, as its lock on the state file names it. */
function daemonIn(folder: string): number {
  const lock = readdirSync(join(folder, 'state')).find((name) => name.endsWith('.lock'));
  return Number.parseInt(readFileSync(join(folder, 'state', lock ?? ''), 'utf8'), 10);
}

function describeOneTime(): void {
  const config = `[A]
  one_time_sequences = seqs
  tcpflags = syn
  command = cp seqs seen; echo A >> out
[B]
  sequence = 7500,8500
  tcpflags = syn
  command = echo B >> out
`;

  scenario(
    'A one-time sequence is marked on the disk before its command runs, and never opens again',
    async ({ server, newClient }) => {
      const folder = mkdtempSync(join(tmpdir(), 'postern-once-'));
      try {
        const { knock } = newClient();
        {
          await using knockd = await startKnockd(server, {
            config,
            folder,
            files: { seqs: ' 7000,8000\n 7100,8100\n 7200,8200\n' },
          });
          await knock('7000 8000');
          await knockd.output(1);
          assert.equal(knockd.read('seen'), '#7000,8000\n 7100,8100\n 7200,8200\n');
          await knock('7000 8000');
          await killEverything(knockd);
        }
        await using again = await startKnockd(server, { config, folder });
        await knock('7000 8000');
        await knock('7100 8100');
        assert.deepEqual(await again.output(2), ['A', 'A']);
        again.running.kill('SIGHUP');
        await again.running.waitForLine(/^re-opening log file: /);
        await knock('7000 8000 7100 8100');
        await sleep(300);
        assert.deepEqual(await again.output(2), ['A', 'A']);
        assert.equal(again.read('seqs'), '#7000,8000\n#7100,8100\n 7200,8200\n');
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  scenario('The last one-time sequence disables its door alone', async ({ server, newClient }) => {
    await using knockd = await startKnockd(server, { config, files: { seqs: ' 7000,8000\n' } });
    const { knock } = newClient();
    await knock('7000 8000');
    await knockd.output(1);
    await knockd.running.waitForLine(
      /^no more sequences left in the one time sequences file for door A --> disabling the door$/,
    );
    await knock('7000 8000 7500 8500');
    assert.deepEqual(await knockd.output(2), ['A', 'B']);
    // The door stays shut for a new watcher too, and the watcher lives.
    process.kill(knockd.watcher(), 'SIGKILL');
    await knock('7000 8000 7500 8500');
    assert.deepEqual(await knockd.output(3), ['A', 'B', 'B']);
    assert.equal(knockd.running.lines.filter((line) => line.startsWith('watcher exited')).length, 0);
  });

  scenario('A malformed line is left alone, and the used line is marked', async ({ server, newClient }) => {
    await using knockd = await startKnockd(server, { config, files: { seqs: 'bad:xyz\n 7000,8000\n 7100,8100\n' } });
    const { knock } = newClient();
    await knock('7000 8000');
    await knockd.output(1);
    await knock('7000 8000');
    await sleep(200);
    assert.equal(knockd.read('seqs'), 'bad:xyz\n#7000,8000\n 7100,8100\n');
    assert.deepEqual(await knockd.output(1), ['A']);
  });

  scenario('A one-time file that cannot be written does not open its door', async ({ server, newClient }) => {
    const within = `exec unshare -m sh -ec 'mount --bind seqs seqs; mount -o remount,bind,ro seqs; exec "$0" "$@"' "$0" "$@"`;
    await using knockd = await startKnockd(server, { config, within, files: { seqs: ' 7000,8000\n 7100,8100\n' } });
    const { knock } = newClient();
    await knock('7000 8000');
    await knockd.running.waitForLine(
      /^error while disabling used one time sequence for door A --> disabling the door$/,
    );
    await knock('7000 8000 7100 8100 7500 8500');
    assert.deepEqual(await knockd.output(1), ['B']);
    assert.equal(knockd.read('seqs'), ' 7000,8000\n 7100,8100\n');
  });

  scenario('A scan does not open the sequence that comes next, if it counts upwards', async ({ server, newClient }) => {
    await using knockd = await startKnockd(server, { config, files: { seqs: ' 8000,7000\n 7101,7103\n' } });
    const { knock } = newClient();
    await knock('8000 7000');
    await knockd.output(1);
    await knock('gap=0 7090-7120');
    await sleep(200);
    assert.deepEqual(await knockd.output(1), ['A']);
    await knock('7101 7103');
    assert.deepEqual(await knockd.output(2), ['A', 'A']);
  });
}
