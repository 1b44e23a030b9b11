/**
 *     alice 10.77.1.2 fd77::2 ┐
 *     bob   10.77.1.3 fd78::2 ├─ eth0 10.77.1.1 server eth1 10.77.2.1 ── 10.77.2.2 fd77:0:0:2::2 inside
 *     near            fd77::3 ┘
 *
 * The native daemon at its ordinary work: knocks open, the kernel closes, people revoke, hooks run. `inside` is a client at the server's
 * second interface, and in one test a container behind the server.
 */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Outcome, type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, kernelGrants, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { findProgram, type Running } from '../support/running.ts';
import { type Sender, startSender } from '../support/sender.ts';

const skip = unavailable('nft', 'ss');

const ALICE = '10.77.1.2';
const BOB = '10.77.1.3';
const ALICE_6 = 'fd77::2';
const NEAR_6 = 'fd77::3';
const BOB_6 = 'fd78::2';
const SERVER = '10.77.1.1';
const SERVER_6 = 'fd77::1';

describe('posternd', { skip }, () => {
  let topology: Topology<'server' | 'client' | 'inside'>;
  let server: Host;
  let client: Host;
  let inside: Host;
  let peer: Peer;
  let sender: Sender;

  before(async () => {
    topology = await createTopology({
      links: [
        ['server', 'client'],
        ['server', 'inside'],
      ],
    });
    ({ server, client, inside } = topology.hosts);
    const more: readonly (readonly [string, ...string[]])[] = [
      [`${BOB}/24`],
      [`${NEAR_6}/64`, 'nodad'],
      [`${BOB_6}/64`, 'nodad'],
    ];
    for (const words of more) await client.exec(['ip', 'address', 'add', ...words, 'dev', 'eth0']);
    await server.exec(['ip', 'route', 'add', 'fd78::/64', 'via', client.address6]);
    const mac = client.interfaces[0]!.mac;
    for (const address of [BOB, NEAR_6]) {
      await server.exec(['ip', 'neighbour', 'replace', address, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent']);
    }
    const echo = startPeer(server);
    for (const port of [80, 2201, 2202, 2203]) await echo.listen('tcp', port);
    await echo.listen('udp', 5000);
    peer = startPeer(client);
    sender = startSender(client);
  });
  beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
  after(() => topology?.close());

  const to = (source: string): string => (source.includes(':') ? SERVER_6 : SERVER);
  const knock = async (source: string, ports = KNOCK): Promise<void> =>
    void (await sender.send(`src=${source} dst=${to(source)}: ${ports}`));
  const connect = (source: string, port: number): Promise<Outcome> =>
    peer.connect({ source, destination: to(source), port });
  const opens = (source: string, port: number): Promise<Outcome> =>
    eventually(
      () => connect(source, port),
      (outcome) => outcome === 'connected',
    );

  test('the door of the README: nothing, a knock, a real ssh session that outlives its grant, nothing', {
    skip: findProgram('ssh-keyscan') === undefined && 'needs OpenSSH',
  }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-sshd-'));
    try {
      const session = await prepareSsh(server, client, folder);
      const greets = async (): Promise<boolean> => {
        const { stdout } = await client.exec(['ssh-keyscan', '-T', '1', SERVER], { mayFail: true });
        return stdout.includes('ssh-ed25519');
      };
      assert.ok(await eventually(greets));
      await using daemon = await startPosternd(server, { doors: sshDoor('4s') });
      assert.equal(await greets(), false);
      await knock(ALICE);
      assert.equal(await eventually(greets), true);
      const first = [...(await kernelGrants(server))][0];
      assert.equal(first?.[0], ALICE);
      assert.ok(first[1] <= 4000);
      const shell = session();
      shell.write('echo one-$((1+1))\n');
      await shell.waitForLine(/^one-2$/);

      await sleep(1500);
      await knock(ALICE);
      await daemon.running.waitForLine(/^ssh: renewed for 10\.77\.1\.2 \(knock\)$/);
      assert.ok(((await kernelGrants(server)).get(ALICE) ?? 0) >= 2000, 'a knock begins the time anew');
      await daemon.running.waitForLine(/^ssh: time over for 10\.77\.1\.2 \(knock\)$/);
      assert.deepEqual([...(await kernelGrants(server))], []);
      assert.equal(await greets(), false);
      shell.write('echo two-$((1+1))\n');
      await shell.waitForLine(/^two-2$/);
      await shell.stop('SIGKILL');

      const told = (await daemon.history()).map(({ type }) => type).filter((type) => type !== 'refused');
      assert.deepEqual(told, ['started', 'opened', 'renewed', 'expired']);
      const { status, stderr } = await daemon.stop();
      assert.deepEqual([status, stderr], [0, '']);
      assert.equal(await greets(), false, 'the door stays closed when the daemon ends');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('a grant is for its IPv4 address, or for its IPv6 network, and for nobody else', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('20s').replace('tcp/22', 'tcp/80') });
    await knock(ALICE);
    assert.equal(await opens(ALICE, 80), 'connected');
    for (const other of [BOB, ALICE_6, NEAR_6, BOB_6]) assert.notEqual(await connect(other, 80), 'connected', other);
    await knock(NEAR_6);
    assert.equal(await opens(ALICE_6, 80), 'connected');
    assert.notEqual(await connect(BOB_6, 80), 'connected');
    assert.deepEqual(await daemon.sources(), [ALICE, 'fd77::']);
    assert.deepEqual(await daemon.ask((asked) => asked.close('ssh', ALICE_6)), { closed: 1 });
    assert.notEqual(await connect(NEAR_6, 80), 'connected');
    assert.equal(await connect(ALICE, 80), 'connected');
  });

  test('knocks count on every interface that is named, and on no other', async () => {
    const doors = sshDoor('20s').replace('tcp/22', 'tcp/80');
    const outsider = startSender(inside);
    const knockInside = (): Promise<unknown> => outsider.send(`src=10.77.2.2 dst=10.77.2.1: ${KNOCK}`);
    {
      await using daemon = await startPosternd(server, { doors, interfaces: ['eth0'] });
      await knockInside();
      await knock(ALICE);
      assert.equal(await opens(ALICE, 80), 'connected');
      assert.deepEqual(await daemon.sources(), [ALICE]);
      await daemon.ask((asked) => asked.close('ssh'));
    }
    for (const interfaces of [['eth0', 'eth1'], ['any']]) {
      await server.exec(['nft', 'flush', 'ruleset']);
      await using daemon = await startPosternd(server, { doors, interfaces });
      await knockInside();
      await knock(ALICE);
      assert.equal(await opens(ALICE, 80), 'connected');
      const both = async (): Promise<string> => [...(await daemon.sources())].sort().join();
      assert.equal(await eventually(both, (found) => found === `${ALICE},10.77.2.2`), `${ALICE},10.77.2.2`);
    }
  });

  test('revoking now: sessions go on, stall until the next knock, or are reset, as the door says', async () => {
    const doors = (['keep', 'cut', 'kill'] as const).map(
      (close, index) => `[door.${close}]\nprotect = ["tcp/${2201 + index}"]\nclose = "${close}"\nopen_for = "30s"\n`,
    );
    await using daemon = await startPosternd(server, { doors: doors.join('') });
    for (const [index, close] of (['keep', 'cut', 'kill'] as const).entries()) {
      const port = 2201 + index;
      assert.notEqual(await connect(ALICE, port), 'connected');
      const grant = await daemon.ask((asked) => asked.open(close, ALICE, '20s'));
      assert.deepEqual([grant.source, grant.via], [ALICE, 'hand']);
      assert.ok((grant.remaining_ms ?? 0) <= 20_000);
      const session = await peer.begin({ source: ALICE, destination: SERVER, port });
      assert.equal(await session.says('hello'), 'connected');
      assert.deepEqual(await daemon.ask((asked) => asked.close(close)), { closed: 1 });
      assert.equal(await session.says('closed'), { keep: 'connected', cut: 'silent', kill: 'refused' }[close], close);
      assert.notEqual(await connect(ALICE, port), 'connected');
      assert.deepEqual(await daemon.ask((asked) => asked.close(close)), { closed: 0 });
      if (close === 'cut') {
        await daemon.ask((asked) => asked.open(close, ALICE));
        assert.equal(await session.says('', 5000), 'connected', 'what was said meanwhile arrives');
      }
      await session.end();
    }
  });

  test('at its time, too, a `kill` door resets its sessions', async () => {
    const doors = '[door.kill]\nprotect = ["tcp/2203"]\nclose = "kill"\nopen_for = "1s"\n';
    await using daemon = await startPosternd(server, { doors });
    await daemon.ask((asked) => asked.open('kill', ALICE));
    const session = await peer.begin({ source: ALICE, destination: SERVER, port: 2203 });
    await daemon.running.waitForLine(/^kill: time over for/);
    assert.equal(await session.says('hello'), 'refused');
  });

  test('what somebody else put into the kernel is closed, too', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('20s').replace('tcp/22', 'tcp/80') });
    await server.exec(['nft', 'add', 'element', 'inet', 'postern', 'open4_ssh', `{ ${BOB} timeout 1h }`]);
    assert.equal(await connect(BOB, 80), 'connected');
    assert.deepEqual(await daemon.ask((asked) => asked.close('ssh')), { closed: 1 });
    assert.notEqual(await connect(BOB, 80), 'connected');
  });

  test('a published container port is closed, opens and closes', async () => {
    const container = startPeer(inside);
    await container.listen('tcp', 8080);
    await server.exec(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'], { mayFail: true });
    await inside.exec(['ip', 'route', 'replace', 'default', 'via', '10.77.2.1']);
    await server.exec(['nft', '-f', '-'], {
      input: `table ip nat {
        chain prerouting {
          type nat hook prerouting priority dstnat;
          fib daddr type local tcp dport 8080 dnat to 10.77.2.2:8080
        }
      }`,
    });
    assert.equal(await connect(ALICE, 8080), 'connected', 'the container is published');
    await using daemon = await startPosternd(server, { doors: sshDoor('2s').replace('tcp/22', 'tcp/8080') });
    await daemon.running.waitForLine(/led to 10\.77\.2\.2/);
    assert.notEqual(await connect(ALICE, 8080), 'connected');
    await knock(ALICE);
    assert.equal(await opens(ALICE, 8080), 'connected');
    assert.notEqual(await connect(BOB, 8080), 'connected');
    await daemon.running.waitForLine(/time over/);
    assert.notEqual(await connect(ALICE, 8080), 'connected');
  });

  test('who may not knock is not let in, nor more than the limit at the same time', async () => {
    const hook = 'on_open = ["/bin/sh", "-c", "echo $POSTERN_SOURCE of $POSTERN_NETWORK"]';
    const rest = `limit = 2\n${hook}\n[door.ssh.sources]\nallow = ["10.77.0.0/16", "fd77::2/128"]\ndeny = ["10.77.1.3/32"]`;
    await using daemon = await startPosternd(server, { doors: sshDoor('1500ms', rest).replace('tcp/22', 'tcp/80') });
    for (const source of [BOB, NEAR_6, '10.77.1.20', '10.77.1.21', '10.77.1.22']) await knock(source);
    await daemon.running.waitForLine(/^ssh: not opened for 10\.77\.1\.22 \(knock, limit\)$/);
    assert.deepEqual([...(await kernelGrants(server)).keys()].sort(), ['10.77.1.20', '10.77.1.21']);
    const denied = (await daemon.history()).filter(({ type }) => type === 'denied');
    assert.deepEqual(
      denied.map(({ source, reason }) => [source, reason]),
      [
        [BOB, 'source'],
        [NEAR_6, 'source'],
        ['10.77.1.22', 'limit'],
      ],
    );
    await daemon.running.waitForLine(/time over for 10\.77\.1\.21/);
    await knock('10.77.1.22');
    await daemon.running.waitForLine(/^ssh: opened for 10\.77\.1\.22/);
    await daemon.ask((asked) => asked.open('ssh', BOB));
    assert.equal(await connect(BOB, 80), 'connected', 'by hand, whoever the administrator wants');
    await daemon.running.waitForLine(/time over for 10\.77\.1\.22/);
    // The list judges who knocks, also where the grant is for the whole network.
    await knock(ALICE_6);
    assert.equal(await opens(ALICE_6, 80), 'connected');
    const hers = await daemon.ask((asked) => asked.log({ source: ALICE_6, types: ['opened', 'denied'] }));
    assert.deepEqual(
      hers.map(({ type, source }) => [type, source]),
      [['opened', 'fd77::']],
    );
    await daemon.running.waitForLine(/^ssh: hook for fd77::\S* \(on_open\): fd77::2 of fd77::\/64$/);
  });

  test('hooks learn what happened, run in order, are killed when they take too long, and their output is kept', async () => {
    const script = 'echo "$POSTERN_EVENT $POSTERN_DOOR $POSTERN_SOURCE $POSTERN_VIA user=$POSTERN_USER"; pwd';
    const doors = `[door.web]
protect = ["tcp/80"]
on_open = ["/bin/sh", "-c", ${JSON.stringify(`sleep 0.5; ${script}`)}]
on_close = ["/bin/sh", "-c", ${JSON.stringify(`${script}; echo trouble >&2; exit 3`)}]
[door.slow]
on_open = ["/bin/sh", "-c", "echo begun; sleep 60.7215 & sleep 60.7215"]
hook_timeout = "300ms"
[door.none]
on_open = ["/nowhere/to/be/found"]
`;
    await using daemon = await startPosternd(server, { doors });
    const started = performance.now();
    await daemon.ask((asked) => asked.open('web', ALICE));
    assert.equal(await connect(ALICE, 80), 'connected');
    await daemon.ask((asked) => asked.close('web', ALICE));
    await daemon.ask((asked) => asked.open('slow', ALICE));
    await daemon.ask((asked) => asked.open('none', ALICE));
    await daemon.running.waitForLine(/^web: hook for 10\.77\.1\.2 \(on_close\)/);
    await daemon.running.waitForLine(/^slow: hook/);
    await daemon.running.waitForLine(/^none: hook/);
    assert.ok(performance.now() - started < 30_000, 'nobody waited for the one that sleeps');
    const hooked = (await daemon.history()).filter(({ type }) => type === 'hooked');
    const details = Object.fromEntries(hooked.map(({ door, reason, detail }) => [`${door} ${reason}`, detail]));
    assert.deepEqual(details, {
      'web on_open': 'open web 10.77.1.2 hand user=root\n/',
      'web on_close': 'ended with status 3: close web 10.77.1.2 hand user=root\n/\ntrouble',
      'slow on_open': 'killed after 300 ms: begun',
      'none on_open': 'could not be started: spawn /nowhere/to/be/found ENOENT',
    });
    const order = hooked.filter(({ door }) => door === 'web').map(({ reason }) => reason);
    assert.deepEqual(order, ['on_open', 'on_close']);
    const { stdout } = await server.exec(['pgrep', '-f', '^sleep 60.7215$'], { mayFail: true });
    assert.equal(stdout, '', 'nothing of the late hook is left');
  });

  test('whole scans open nothing, and look like nothing', async () => {
    // A door of many ports, with all steps among them, is as safe: only the file's lint complains.
    const wide = `[door.wide]
protect = ["tcp/20000-40000"]
[door.wide.knock]
steps = ["tcp/21000", "tcp/26000", "tcp/31000"]
`;
    const ssh = sshDoor('20s').replace('tcp/22', 'tcp/80').replace('"5s"', '"1s"');
    await using daemon = await startPosternd(server, { doors: ssh + wide });
    const all = Array.from({ length: 65_535 }, (_, index) => index + 1);
    for (const ports of [all, all.toReversed(), shuffled(all)]) {
      await sender.send(`src=${ALICE} dst=${SERVER}: gap=0.00001 ${ports.join(' ')}`);
    }
    await sleep(200);
    assert.deepEqual([...(await kernelGrants(server))], []);
    assert.deepEqual([...(await kernelGrants(server, 'wide'))], []);
    const { doors, watcher } = await daemon.ask((asked) => asked.status());
    assert.deepEqual(doors[0]!.grants, []);
    assert.ok(watcher.received > 0);
    assert.equal(await connect(ALICE, 80), await connect(ALICE, 81), 'as a port that nobody uses');
    // The knock still works, so it was not deafness that kept the door shut.
    await sleep(1200);
    await knock(ALICE);
    assert.equal(await opens(ALICE, 80), 'connected');
  });
});

/** sshd on the server's port 22 with keys of its own; the result begins a session with a shell as the user of the test. */
async function prepareSsh(server: Host, client: Host, folder: string): Promise<() => Running> {
  chmodSync(folder, 0o755);
  const key = (name: string): string => join(folder, name);
  for (const name of ['host', 'user']) {
    await server.exec(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key(name)]);
  }
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  writeFileSync(key('known'), '');
  const options = [
    ['PidFile', 'none'],
    ['AuthorizedKeysFile', key('user.pub')],
    ['StrictModes', 'no'],
    ['PermitRootLogin', 'yes'],
    ['UsePAM', 'no'],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  server.spawn([findProgram('sshd')!, '-D', '-e', '-f', '/dev/null', '-h', key('host'), '-p', '22', ...options]);
  const common = ['StrictHostKeyChecking=no', `UserKnownHostsFile=${key('known')}`, 'BatchMode=yes', 'LogLevel=ERROR'];
  const argv = ['ssh', '-F', 'none', '-T', '-i', key('user'), ...common.flatMap((option) => ['-o', option])];
  return () => client.spawn([...argv, `root@${SERVER}`, 'sh'], { input: { open: true } });
}

function shuffled(ports: readonly number[]): number[] {
  const all = [...ports];
  for (let index = all.length - 1; index > 0; index -= 1) {
    const other = Math.floor(Math.random() * (index + 1));
    [all[index], all[other]] = [all[other]!, all[index]!];
  }
  return all;
}
