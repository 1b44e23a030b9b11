/**
 *     alice   10.77.1.2 ┐
 *     mallory 10.77.1.3 ├─ eth0 10.77.1.1 server
 *
 * Everything in no order: kills of either half, foreign flushes, a disk that is full, clocks that are set, an interface that flaps, floods beside
 * all of it, reloads, wrong knocks. CHAOS_SECONDS of it (30 in a normal run), from CHAOS_SEED. After each deed nobody is in without a knock, and no
 * grant is longer than its door says; an honest knock opens within some tries, whatever was done before.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, kernelGrants, type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { randomFrom } from '../support/random.ts';
import { type Sender, startSender } from '../support/sender.ts';
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';

const skip = unavailable('nft', 'nsenter');
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 30);
const SEED = Number(process.env.CHAOS_SEED ?? Date.now() % 1_000_000);

const ALICE = '10.77.1.2';
const MALLORY = '10.77.1.3';
const SERVER = '10.77.1.1';
const OPEN_FOR = 2000;

/** Tries that an honest knock may take, a moment apart: nobody hears it while a half is being replaced, which takes seconds on a busy machine. */
const TRIES = 30;
const MOMENT = 250;
/** In counting order, the steps of the knock among them. */
const SCANNED = [...Array(20).keys()].flatMap((step) => [6990 + step, 7990 + step, 8990 + step]).sort((x, y) => x - y);
const SET_CLOCK = join(import.meta.dirname, '../support/set-clock.ts');
const SETTINGS = `[state]
dir = "disk/state"
[control]
socket = "control.sock"
[log]
syslog = false
`;

describe('chaos', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let peer: Peer;
  let sender: Sender;
  let flooder: Sender;
  let folder: string;
  let daemon: Posternd;
  let disk: SmallDisk;
  let flood: Promise<unknown> = Promise.resolve();

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    server = topology.hosts.server;
    const { client } = topology.hosts;
    await client.exec(['ip', 'address', 'add', `${MALLORY}/24`, 'dev', 'eth0']);
    await startPeer(server).listen('tcp', 22);
    peer = startPeer(client);
    sender = startSender(client);
    flooder = startSender(client);
    folder = mkdtempSync(join(tmpdir(), 'postern-chaos-'));
    mkdirSync(join(folder, 'disk'));
    disk = await mountSmallDisk(server, join(folder, 'disk'), '2m');
  });
  after(async () => {
    if (daemon?.running.running) await daemon.running.stop('SIGKILL');
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const options = { doors: `${sshDoor(`${OPEN_FOR}ms`)}[ban]\nafter = 20\n`, top: 'trap = ["tcp/23"]\n' };
  const start = async (): Promise<void> => {
    daemon = await startPosternd(server, {
      ...options,
      folder,
      settings: SETTINGS,
      socket: join(folder, 'control.sock'),
      within: `export TEST_CLOCK=${join(folder, 'clock')}; set -- --import ${SET_CLOCK} "$@"; ${disk.within}`,
    });
  };
  const connect = (source: string) => peer.connect({ source, destination: SERVER, port: 22 });
  const knock = (): Promise<unknown> => sender.send(`src=${ALICE} dst=${SERVER}: ${KNOCK}`);
  const setClock = (milliseconds: number): void => writeFileSync(join(folder, 'clock'), String(milliseconds));
  /** Sets the daemon's clock, and sees that it is set. */
  const jump = async (milliseconds: number): Promise<void> => {
    setClock(milliseconds);
    await sleep(20);
    await daemon.ask((control) => control.reload());
    const [entry] = await daemon.history(1);
    const off = Date.parse(entry?.time ?? '') - Date.now() - milliseconds;
    assert.ok(Math.abs(off) < 60_000, `the clock is off by ${off} ms`);
  };
  let mostTries = 0;
  /** As a person does: again, when it did not help. */
  const getIn = async (): Promise<void> => {
    for (let tries = 1; tries <= TRIES; tries += 1) {
      await knock();
      const outcome = await connect(ALICE);
      if (outcome === 'connected') {
        mostTries = Math.max(mostTries, tries);
        return;
      }
      await sleep(MOMENT);
    }
    assert.fail(`${TRIES} honest knocks did not open:\n${daemon.running.lines.slice(-30).join('\n')}`);
  };
  /** True once the guard stands. */
  const guarded = async (): Promise<boolean> =>
    (await server.exec(['nft', 'list', 'chain', 'inet', 'postern', 'prerouting'], { mayFail: true })).status === 0;
  const untilGuarded = async (): Promise<void> => {
    for (let waited = 0; waited < 200 && !(await guarded()); waited += 1) await sleep(25);
  };

  const random = randomFrom(SEED);
  const deeds: Readonly<Record<string, () => Promise<unknown>>> = {
    'an honest knock': getIn,
    'a kill of the watcher': async () => {
      try {
        process.kill(daemon.watcher(), 'SIGKILL');
      } catch {
        // It is just being replaced.
      }
    },
    'a kill of the keeper': async () => {
      await daemon.running.stop('SIGKILL');
      await start();
    },
    'a clock that is set': () => jump(random.of([-1, 1]) * random.of([500, 5000, 3_600_000, 31_536_000_000])),
    'a clock that is right again': async () => setClock(0),
    'a clock that is set while nobody runs': async () => {
      await daemon.running.stop('SIGKILL');
      setClock(random.of([-31_536_000_000, -1000, 1000, 31_536_000_000]));
      await start();
    },
    'a power failure': async () => {
      await daemon.running.stop('SIGKILL');
      await server.exec(['nft', 'flush', 'ruleset']);
      await start();
    },
    'a full disk': async () => {
      disk.fill();
      await getIn();
    },
    'room on the disk': async () => disk.free(),
    'a foreign flush': async () => {
      await server.exec(['nft', 'flush', 'ruleset']);
      await untilGuarded();
    },
    'an interface that flaps': async () => {
      await server.exec(['ip', 'link', 'set', 'eth0', 'down']);
      await sleep(50);
      await server.exec(['ip', 'link', 'set', 'eth0', 'up']);
    },
    'a flood': async () => {
      await flood;
      // Beside whatever is done next.
      flood = flooder.flood({
        destination: SERVER,
        rate: 5000,
        count: 5000,
        seconds: 1,
        firstSource: '11.0.0.1',
        sources: 100_000,
      });
    },
    'a reload': () => daemon.ask((control) => control.reload()),
    'a broken reload': async () => {
      daemon.write('[door.ssh\n');
      await assert.rejects(daemon.ask((control) => control.reload()));
      daemon.write(options.doors);
    },
    'a wrong knock': () => sender.send(`src=${MALLORY} dst=${SERVER}: 9000 u8000 7000 9000 u8000 7000`),
    'a scan': () => sender.send(`gap=0.0005 src=${MALLORY} dst=${SERVER}: ${SCANNED.join(' ')}`),
    traps: () => sender.send(`src=${MALLORY} dst=${SERVER}: 23 23 23 23 23`),
    'somebody who closes': () => daemon.ask((control) => control.close('ssh')),
  };

  test('whatever happens, doors do what they promise', { timeout: (SECONDS + 120) * 1000 }, async (t: TestContext) => {
    t.diagnostic(`CHAOS_SEED=${SEED}`);
    const names = Object.keys(deeds);
    const done: string[] = [];
    await start();
    const end = performance.now() + SECONDS * 1000;
    while (performance.now() < end) {
      const name = random.of(names);
      done.push(name);
      const story = `${done.slice(-6).join(', ')} (CHAOS_SEED=${SEED})`;
      await deeds[name]!().catch((error: unknown) => {
        throw new Error(story, { cause: error });
      });
      for (const [source, left] of await kernelGrants(server)) {
        assert.equal(source, ALICE, story);
        assert.ok(left <= OPEN_FOR, `${left} ms after ${story}`);
      }
      assert.notEqual(await connect(MALLORY), 'connected', story);
      await sleep(random.below(50));
    }
    await flood;
    disk.free();
    await getIn();
    t.diagnostic(`${done.length} deeds; an honest knock took ${mostTries} tries at most`);
    assert.ok(done.length >= SECONDS / 2, `${done.length}`);
    assert.equal(await connect(ALICE), 'connected');
    await sleep(OPEN_FOR + 500);
    assert.deepEqual([...(await kernelGrants(server))], []);
    assert.notEqual(await connect(ALICE), 'connected');
    assert.equal((await daemon.stop()).status, 0);
  });
});
