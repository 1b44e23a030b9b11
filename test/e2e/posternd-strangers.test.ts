/**
 *     alice   10.77.1.2 fd77::2 ┐
 *     mallory 10.77.1.3 fd78::2 ├─ eth0 10.77.1.1 server
 *
 * Strangers before a real guard: what they touch is told and scored, who has too many points is banned, and whatever is forged in an
 * honest client's name, it comes in.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WireStranger } from '../../src/control/wire-event.ts';
import { eventually } from '../support/eventually.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Outcome, type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { type Sender, startSender } from '../support/sender.ts';

const POSTERN = join(import.meta.dirname, '../../bin/postern');

const skip = unavailable('nft', 'nmap');

const ALICE = '10.77.1.2';
const MALLORY = '10.77.1.3';
const MALLORY_6 = 'fd78::2';
const SERVER = '10.77.1.1';
const SERVER_6 = 'fd77::1';

const TOP = 'trap = ["tcp/23", "tcp/3389", "udp/161"]\n';
const BAN = '[ban]\nafter = 10\nwithin = "10m"\nfor = "10m"\n';

describe('strangers before posternd', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let client: Host;
  let peer: Peer;
  let asking: Peer;
  let sender: Sender;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server, client } = topology.hosts);
    await client.exec(['ip', 'address', 'add', `${MALLORY}/24`, 'dev', 'eth0']);
    await client.exec(['ip', 'address', 'add', `${MALLORY_6}/64`, 'nodad', 'dev', 'eth0']);
    await server.exec(['ip', 'route', 'add', 'fd78::/64', 'via', client.address6]);
    const echo = startPeer(server);
    for (const port of [22, 80]) await echo.listen('tcp', port);
    peer = startPeer(client);
    await peer.listen('tcp', 4053);
    asking = echo;
    sender = startSender(client);
  });
  beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
  after(() => topology?.close());

  const to = (source: string): string => (source.includes(':') ? SERVER_6 : SERVER);
  const send = async (source: string, packets: string): Promise<void> =>
    void (await sender.send(`src=${source} dst=${to(source)}: ${packets}`));
  const connect = (source: string, port: number): Promise<Outcome> =>
    peer.connect({ source, destination: to(source), port });
  const reaches = async (source: string, port: number): Promise<boolean> =>
    (await connect(source, port)) === 'connected';
  /** The server asks: does the answer come? */
  const answers = async (source: string): Promise<boolean> =>
    (await asking.connect({ destination: source, port: 4053 })) === 'connected';
  const banned = (daemon: Posternd): Promise<readonly string[]> =>
    daemon.ask(async (control) => (await control.status()).bans.map(({ source }) => source));
  const stranger = (daemon: Posternd, source: string): Promise<WireStranger | undefined> =>
    daemon.ask(async (control) => (await control.attackers()).find((each) => each.source === source));
  const isBanned = (daemon: Posternd, source: string): Promise<boolean> =>
    eventually(async () => (await banned(daemon)).includes(source));
  /** Traps, ten points; each connection from a port of its own. */
  const touchTraps = (source: string): Promise<void> => send(source, '23 3389 u161');

  test('nmap is seen, scored and banned, of either family; the others are served on', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') + BAN, top: TOP });
    for (const [source, family] of [
      [MALLORY, '-4'],
      [MALLORY_6, '-6'],
    ] as const) {
      const scan = ['nmap', family, '-n', '-Pn', '-sS', '-T4', '--max-retries', '0', '--host-timeout', '20s'];
      await client.exec([...scan, '-e', 'eth0', '-S', source, '-p', '1-100', to(source)], { mayFail: true });
      const place = source === MALLORY ? MALLORY : 'fd78::';
      assert.ok(await isBanned(daemon, place), `${source} is not banned`);
      assert.deepEqual([await reaches(source, 80), await reaches(ALICE, 80)], [false, true]);
      // All of them but 80, where somebody listens; exactly.
      const seen = await eventually(
        () => stranger(daemon, place),
        (each) => each?.distinct === 99,
      );
      assert.ok(seen && seen.traps >= 1 && seen.closed >= 1, JSON.stringify(seen));
      assert.deepEqual([seen.distinct, seen.scans, seen.prefix], [99, 9, source === MALLORY ? undefined : 64]);
      assert.ok(seen.ports.includes('tcp/23') && seen.ports.includes('tcp/22'), seen.ports.join());
    }
    const types = new Set((await daemon.history()).map(({ type }) => type));
    for (const type of ['trapped', 'refused', 'scanned', 'banned'] as const) assert.ok(types.has(type), type);
    const refused = (await daemon.history()).find(({ type }) => type === 'refused');
    assert.deepEqual([refused?.door, refused?.reason, refused?.detail], ['ssh', 'no grant', 'tcp/22']);
  });

  test('a flood in an honest client’s name neither ends its session nor locks it out', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('3s') + BAN, top: TOP });
    await send(ALICE, KNOCK);
    assert.ok(await eventually(() => reaches(ALICE, 22)));
    const session = await peer.begin({ source: ALICE, destination: SERVER, port: 22 });
    const forge = async (): Promise<void> => {
      for (let turn = 0; turn < 10; turn += 1) await touchTraps(ALICE);
      await sleep(1200); // The watcher tells twice a second.
    };
    await forge();
    assert.deepEqual(await banned(daemon), [], 'it has a grant');
    await daemon.running.waitForLine(/^ssh: time over for 10\.77\.1\.2/);
    await forge();
    assert.deepEqual(await banned(daemon), [], 'it has a session');
    assert.equal(await session.says('still here'), 'connected');
    await session.end();
    // Long gone: now the forger can have her banned, and she still comes in.
    await eventually(
      async () => {
        await touchTraps(ALICE);
        return banned(daemon);
      },
      (sources) => sources.includes(ALICE),
    );
    assert.ok((await banned(daemon)).includes(ALICE));
    assert.deepEqual([await reaches(ALICE, 80), await answers(ALICE)], [false, true], 'she answers the server');
    await send(ALICE, KNOCK);
    assert.ok(await eventually(() => reaches(ALICE, 22)));
  });

  test('trusted and allowed sources pass every door and are not counted; a granted one cannot be banned by hand', async () => {
    const top = `${TOP}allow = ["${MALLORY}/32"]\n`;
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') + BAN, top });
    assert.ok(await reaches(MALLORY, 22));
    await touchTraps(MALLORY);
    await sleep(1200);
    assert.equal(await stranger(daemon, MALLORY), undefined);
    await assert.rejects(
      daemon.ask((control) => control.ban(MALLORY)),
      /Cannot ban 10\.77\.1\.3: the configuration trusts it/,
    );
    assert.equal(await reaches(ALICE, 22), false);
    await daemon.ask((control) => control.allow(ALICE, '1m'));
    assert.ok(await reaches(ALICE, 22));
    const allowed = await daemon.ask(async (control) => (await control.status()).allowed);
    assert.deepEqual(
      allowed.map(({ source, via }) => [source, via]),
      [[ALICE, 'hand']],
    );
    await daemon.ask((control) => control.disallow(ALICE));
    assert.equal(await reaches(ALICE, 22), false);
    await send(ALICE, KNOCK);
    assert.ok(await eventually(() => reaches(ALICE, 22)));
    const ofAlice = (await daemon.history()).filter(({ source }) => source === ALICE).map(({ type }) => type);
    assert.deepEqual(ofAlice.slice(-2), ['refused', 'opened'], 'a try right before the knock is not lost');
    await assert.rejects(
      daemon.ask((control) => control.ban(ALICE)),
      /Cannot ban 10\.77\.1\.2: a door is open for it/,
    );
  });

  test('bans and leaves outlive a kill -9 and a foreign flush', async () => {
    const options = { doors: sshDoor('30s') + BAN, top: TOP };
    await using first = await startPosternd(server, options);
    await first.ask((control) => control.ban(MALLORY, '5m'));
    await first.ask((control) => control.allow(ALICE, '5m'));
    await first.stop('SIGKILL');
    assert.deepEqual([await reaches(MALLORY, 80), await reaches(ALICE, 22)], [false, true]);
    const log = [
      process.execPath,
      POSTERN,
      '--config',
      join(first.folder, 'postern.toml'),
      'log',
      '-t',
      'banned,allowed',
    ];
    const { stdout, stderr } = await server.exec(log);
    assert.match(stdout, /banned +10\.77\.1\.3 .*\n.*allowed +10\.77\.1\.2 .*\n$/);
    assert.equal(stderr, `postern: No daemon runs; this is from ${first.folder}/state/state.sqlite\n`);
    await using second = await startPosternd(server, { ...options, folder: first.folder });
    assert.deepEqual(await banned(second), [MALLORY]);
    await server.exec(['nft', 'flush', 'ruleset']);
    await second.running.waitForLine(/guard had been removed/);
    assert.deepEqual([await reaches(MALLORY, 80), await reaches(ALICE, 22)], [false, true]);

    // Networks of another length from now on: what stands was made with the old one.
    await second.ask((control) => control.open('ssh', '2001:db8:1:1ab::2', '5m'));
    await second.ask((control) => control.ban('2001:db8:9:100::7', '5m'));
    await second.stop('SIGKILL');
    const doors = `${options.doors}[firewall]\nipv6_prefix = 56\n`;
    await using third = await startPosternd(server, { ...options, doors, folder: first.folder });
    assert.deepEqual([await third.sources(), await banned(third)], [[], [MALLORY]]);
    const { stdout: kernel } = await server.exec(['nft', 'list', 'ruleset']);
    assert.doesNotMatch(kernel, /2001:db8/);
    assert.match(kernel, /ffff:ffff:ffff:ff00::/);
    const ended = (await third.history()).filter(({ reason }) => reason === 'another ipv6_prefix');
    assert.deepEqual(
      ended.map(({ type, source }) => [type, source]),
      [
        ['closed', '2001:db8:1:1ab::'],
        ['unbanned', '2001:db8:9:100::'],
      ],
    );
    const grant = await third.ask((control) => control.open('ssh', '2001:db8:1:1ab::2', '5m'));
    assert.deepEqual([grant.source, grant.prefix], ['2001:db8:1:100::', 56]);
    assert.equal((await third.ask((control) => control.close('ssh', '2001:db8:1:100::/56'))).closed, 1);
    assert.deepEqual(await third.sources(), []);
  });

  test('while it observes everything passes and is told; a reload guards, and bans at once who has the points for it', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') + BAN, top: `mode = "observe"\n${TOP}` });
    assert.ok(await reaches(MALLORY, 22));
    const told = await eventually(async () => (await daemon.history()).find(({ type }) => type === 'refused'));
    assert.deepEqual([told?.source, told?.door, told?.reason], [MALLORY, 'ssh', 'observed']);
    await touchTraps(MALLORY);
    const trapped = async () =>
      (await daemon.history()).flatMap(({ type, reason }) => (type === 'trapped' ? [reason] : []));
    assert.deepEqual(await eventually(trapped, ({ length }) => length === 3), ['tcp/23', 'tcp/3389', 'udp/161']);
    const wouldBe = async () => (await daemon.ask((control) => control.status())).would_be_banned;
    assert.equal(await eventually(wouldBe, (number) => number === 1), 1);
    const ban = (await daemon.history()).find(({ type }) => type === 'banned');
    assert.deepEqual([ban?.source, ban?.via, ban?.reason], [MALLORY, 'points', 'observed']);
    assert.equal((await stranger(daemon, MALLORY))?.would_be_banned, true);
    assert.deepEqual([await banned(daemon), await reaches(MALLORY, 22)], [[], true]);
    daemon.write(sshDoor('30s') + BAN, TOP);
    await daemon.ask((control) => control.reload());
    assert.ok(await isBanned(daemon, MALLORY));
    assert.deepEqual([await reaches(MALLORY, 22), await reaches(ALICE, 80)], [false, true]);
  });
});
