/**
 *     server eth0 10.77.1.1 ──────── 10.77.1.2 eth0 client (also .3 and up)
 *
 * Whatever dies, and whoever meddles, no door stays open past its time, and nobody who was let in is shut out before it.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtPackage } from '../support/built-package.ts';
import { isAlive, watcherOf } from '../support/knockd-host.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Outcome, type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, kernelGrants, type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { type Sender, startSender } from '../support/sender.ts';

const skip = unavailable('nft', 'ss');
/** Clients that knock one after another, from this address on; before them one that never does. */
const FIRST = 21;
const CLIENTS = 200;
const STRANGER = '10.77.1.20';
const ALICE = '10.77.1.2';
const SERVER = '10.77.1.1';
const DOOR = (openFor: string, rest = ''): string => sshDoor(openFor, rest).replace('tcp/22', 'tcp/80');

interface Scene {
  readonly topology: Topology<'server' | 'client'>;
  readonly server: Host;
  readonly peer: Peer;
  readonly sender: Sender;
}

async function openScene(): Promise<Scene> {
  const topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  const more = Array.from(
    { length: CLIENTS + FIRST - 3 },
    (_, index) => `address add 10.77.1.${3 + index}/24 dev eth0\n`,
  );
  await client.exec(['ip', '-batch', '-'], { input: more.join('') });
  const mac = client.interfaces[0]!.mac;
  const neighbours = more.map(
    (_, index) => `neighbour replace 10.77.1.${3 + index} lladdr ${mac} dev eth0 nud permanent\n`,
  );
  await server.exec(['ip', '-batch', '-'], { input: neighbours.join('') });
  await startPeer(server).listen('tcp', 80);
  return { topology, server, peer: startPeer(client), sender: startSender(client) };
}

const knock = async ({ sender }: Scene, source: string): Promise<void> =>
  void (await sender.send(`gap=0.001 src=${source} dst=${SERVER}: ${KNOCK}`));
const connect = ({ peer }: Scene, source: string): Promise<Outcome> =>
  peer.connect({ source, destination: SERVER, port: 80 });

describe('posternd and death', { skip }, () => {
  let scene: Scene;
  let folder: string;
  before(async () => {
    scene = await openScene();
  });
  beforeEach(async (t) => {
    await scene.server.exec(['nft', 'flush', 'ruleset']);
    folder = mkdtempSync(join(tmpdir(), 'postern-deaths-'));
    (t as TestContext).after(() => rmSync(folder, { recursive: true, force: true }));
  });
  after(() => scene?.topology.close());

  const start = (doors: string): Promise<Posternd> => startPosternd(scene.server, { doors, folder });
  const kill = async (daemon: Posternd): Promise<void> => {
    await daemon.stop('SIGKILL');
  };

  test('grants survive the death of the watcher, and the next one hears knocks', async () => {
    await using daemon = await start(DOOR('30s'));
    await knock(scene, ALICE);
    await daemon.running.waitForLine(/^ssh: opened for 10\.77\.1\.2 /);
    for (let death = 1; death <= 3; death += 1) {
      const watcher = daemon.watcher();
      process.kill(watcher, 'SIGKILL');
      assert.equal(await connect(scene, ALICE), 'connected');
      const source = `10.77.1.${2 + death}`;
      assert.notEqual(await connect(scene, source), 'connected');
      // A knock that nobody read yet is read by the next watcher: the packet ring is the keeper's.
      await knock(scene, source);
      await daemon.running.waitForLine(new RegExp(`^ssh: opened for ${source.replaceAll('.', '\\.')} `), 15_000);
      assert.equal(await connect(scene, source), 'connected');
    }
    assert.equal((await daemon.ask((asked) => asked.status())).watcher.restarts, 3);
  });

  test('grants survive the death of the keeper, in the kernel and in the books of the next; the watcher dies with it', async () => {
    const first = await start(DOOR('5s'));
    const watcher = first.watcher();
    const opened = performance.now();
    await knock(scene, ALICE);
    await first.running.waitForLine(/^ssh: opened for/);
    await kill(first);
    await sleep(200);
    assert.equal(isAlive(watcher), false);
    assert.equal(await connect(scene, ALICE), 'connected');
    assert.notEqual(await connect(scene, '10.77.1.3'), 'connected');
    await using second = await start(DOOR('5s'));
    await second.running.waitForLine(/^ssh: found open for 10\.77\.1\.2 \(knock\)$/);
    const { doors } = await second.ask((asked) => asked.status());
    const [grant] = doors[0]!.grants;
    const left = 5000 - (performance.now() - opened);
    assert.deepEqual([grant?.source, grant?.via], [ALICE, 'knock']);
    assert.ok(Math.abs((grant?.remaining_ms ?? 0) - Math.max(0, left)) < 1500, `${grant?.remaining_ms} of ${left}`);
    await second.running.waitForLine(/^ssh: time over for 10\.77\.1\.2 \(knock\)$/);
    assert.notEqual(await connect(scene, ALICE), 'connected');
    assert.deepEqual(await second.sources(), []);
  });

  test('what ended while nobody was there is ended: hooks run, sessions of a `kill` door are reset, the history has it', async () => {
    const doors = DOOR('1s', 'close = "kill"\non_close = ["/bin/sh", "-c", "echo $POSTERN_EVENT"]\n');
    const first = await start(doors);
    await knock(scene, ALICE);
    await first.running.waitForLine(/^ssh: opened for/);
    const session = await scene.peer.begin({ source: ALICE, destination: SERVER, port: 80 });
    assert.equal(await session.says('hello'), 'connected');
    await kill(first);
    await sleep(1100);
    await using second = await start(doors);
    await second.running.waitForLine(/^ssh: hook for 10\.77\.1\.2 \(on_close\): close$/);
    assert.equal(await session.says('too late'), 'refused');
    const types = (await second.history()).map(({ type }) => type);
    assert.deepEqual(types.slice(-3).sort(), ['expired', 'hooked', 'started']);
  });

  test('grants that a foreign flush took while nobody was there are open again, for the rest of their time', async () => {
    const first = await start(DOOR('6s'));
    await knock(scene, ALICE);
    await first.running.waitForLine(/^ssh: opened for/);
    const opened = performance.now();
    await kill(first);
    await scene.server.exec(['nft', 'flush', 'ruleset']);
    await using second = await start(DOOR('6s'));
    assert.equal(await connect(scene, ALICE), 'connected');
    assert.notEqual(await connect(scene, '10.77.1.3'), 'connected');
    const most = 6000 - (performance.now() - opened) + 1000;
    assert.ok(((await kernelGrants(scene.server)).get(ALICE) ?? 0) <= most);
    await second.running.waitForLine(/^ssh: time over/);
    assert.notEqual(await connect(scene, ALICE), 'connected');
  });

  test('what an administrator put into the kernel while nobody was there is shown, and can be revoked', async () => {
    await kill(await start(DOOR('5s')));
    const elements = '{ 10.77.1.3 timeout 1h comment "bob, ticket 42", 10.77.1.4 timeout 1s }';
    await scene.server.exec(['nft', 'add', 'element', 'inet', 'postern', 'open4_ssh', elements]);
    await using daemon = await start(DOOR('5s'));
    await daemon.running.waitForLine(/^ssh: found open for 10\.77\.1\.3 \(adopted\): bob, ticket 42$/);
    const { doors } = await daemon.ask((asked) => asked.status());
    const bob = doors[0]!.grants.find(({ source }) => source === '10.77.1.3');
    assert.equal(bob?.via, 'adopted');
    assert.deepEqual(await daemon.ask((asked) => asked.close('ssh', '10.77.1.3')), { closed: 1 });
    assert.notEqual(await connect(scene, '10.77.1.3'), 'connected');
  });

  test('a foreign flush in the middle: the port is closed again at once, and grants are back', async (t) => {
    await using daemon = await start(DOOR('30s'));
    await knock(scene, ALICE);
    await daemon.running.waitForLine(/^ssh: opened for/);
    const times: number[] = [];
    for (let flush = 1; flush <= 5; flush += 1) {
      const restored = daemon.running.lines.length;
      const started = performance.now();
      await scene.server.exec(['nft', 'flush', 'ruleset']);
      await daemon.running.waitForLine(/^the guard had been removed by somebody else/, 10_000, restored);
      times.push(Math.round(performance.now() - started));
      assert.notEqual(await connect(scene, '10.77.1.3'), 'connected');
      assert.equal(await connect(scene, ALICE), 'connected');
    }
    t.diagnostic(`from the start of nft to the guard being back: ${times.join(', ')} ms`);
    const types = (await daemon.history()).map(({ type }) => type).filter((type) => type === 'restored');
    assert.equal(types.length, 5);
    await daemon.ask((asked) => asked.close('ssh', ALICE));
    await scene.server.exec(['nft', 'flush', 'ruleset']);
    await sleep(500);
    assert.notEqual(await connect(scene, ALICE), 'connected', 'what was revoked does not come back');
  });
});

const DEATHS = 200;
const SCENES = 3;
/** Grants of the test live as long. */
const OPEN_FOR = 700;
/** What timers of the kernel and the rounding of times may add. */
const SLACK = 50;

describe('200 deaths at random moments', { skip }, () => {
  test('leave no door open past its time', async (t) => {
    const seen: Seen = { deaths: 0, keepers: 0, knocks: 0, grants: 0, connected: 0, refused: 0, longest: 0 };
    using built = await builtPackage();
    await Promise.all(Array.from({ length: SCENES }, () => die(seen, join(built.path, 'bin/posternd'))));
    t.diagnostic(JSON.stringify(seen));
    assert.ok(seen.grants > DEATHS, 'doors did open');
    assert.ok(seen.connected > 3 && seen.refused > 3, 'connections came through, and did not');
  });
});

interface Seen {
  deaths: number;
  keepers: number;
  knocks: number;
  grants: number;
  connected: number;
  refused: number;
  longest: number;
}

/** One host's part of the deaths: knocks all the time, kills at random, and looks at the kernel and through the door. */
async function die(seen: Seen, program: string): Promise<void> {
  const scene = await openScene();
  const folder = mkdtempSync(join(tmpdir(), 'postern-deaths-'));
  let over = false;
  try {
    const options = { doors: `[firewall]\nface = "drop"\n${DOOR(`${OPEN_FOR}ms`)}`, folder, program };
    let daemon = await startPosternd(scene.server, options);
    let last = '';
    const knocking = (async () => {
      for (let turn = 0; !over; turn += 1) {
        // Each source knocks once and then not for a long time: what it has is one grant.
        last = `10.77.1.${FIRST + (turn % CLIENTS)}`;
        await knock(scene, last);
        seen.knocks += 1;
        await sleep(20 + Math.random() * 80);
      }
    })();
    const looking = (async () => {
      let present = new Map<string, number>();
      while (!over) {
        const begun = performance.now();
        const grants = await kernelGrants(scene.server);
        const ended = performance.now();
        const still = new Map<string, number>();
        for (const source of grants.keys()) {
          const since = present.get(source) ?? ended;
          still.set(source, since);
          seen.longest = Math.max(seen.longest, Math.round(begun - since));
          assert.ok(begun - since <= OPEN_FOR + SLACK, `${source} is open for ${begun - since} ms and longer`);
        }
        seen.grants += [...still.keys()].filter((source) => !present.has(source)).length;
        present = still;
        if ((await connect(scene, last)) === 'connected') seen.connected += 1;
        else seen.refused += 1;
        assert.notEqual(await connect(scene, STRANGER), 'connected', 'nobody has knocked from here');
        await sleep(20);
      }
    })();
    while (seen.deaths < DEATHS) {
      await sleep(Math.random() * 300);
      const what = Math.random();
      if (what < 0.75 && !killed(daemon)) continue;
      seen.deaths += 1;
      if (what < 0.5) continue;
      seen.keepers += 1;
      await daemon.stop('SIGKILL');
      daemon = await startPosternd(scene.server, options);
    }
    over = true;
    await Promise.all([knocking, looking]);
    await daemon.stop('SIGKILL');
    // Both halves are dead: the kernel alone ends what is open.
    await sleep(OPEN_FOR + SLACK);
    assert.deepEqual([...(await kernelGrants(scene.server))], []);
    assert.notEqual(await connect(scene, last), 'connected');
  } finally {
    over = true;
    rmSync(folder, { recursive: true, force: true });
    await scene.topology.close();
  }
}

/** Kills the watcher; false when there is none at the moment. */
function killed(daemon: Posternd): boolean {
  try {
    process.kill(watcherOf(daemon.running.pid), 'SIGKILL');
    return true;
  } catch {
    return false;
  }
}
