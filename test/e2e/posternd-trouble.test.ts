/**
 *     server eth0 10.77.1.1 ──────── 10.77.1.2 .3 eth0 client
 *
 * The native daemon where things are not as they should be: configurations that are broken, states that are damaged, disks that are full
 * or cannot be written, clocks that were set, rights that are missing. Doors work or stay closed, and it is said why.
 */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, beforeEach, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectControl } from '../../src/control/client.ts';
import { builtPackage } from '../support/built-package.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Outcome, type Peer, startPeer } from '../support/peer.ts';
import {
  KNOCK,
  kernelGrants,
  launchPosternd,
  type Posternd,
  type PosterndOptions,
  sshDoor,
  startPosternd,
} from '../support/posternd-host.ts';
import { type Sender, startSender } from '../support/sender.ts';

const skip = unavailable('nft', 'ss');
const POSTERN = join(import.meta.dirname, '../../bin/postern');
const ALICE = '10.77.1.2';
const BOB = '10.77.1.3';
const SERVER = '10.77.1.1';
const RELOADS = 1000;
/** On a busy machine fewer reloads have to do; a thousand at the driver's level are in nftables-kernel.test.ts. */
const RELOADING = 8_000;

const door = (openFor: string, rest = ''): string => sshDoor(openFor, rest).replace('tcp/22', 'tcp/80');

describe('posternd in trouble', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let client: Host;
  let peer: Peer;
  let sender: Sender;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server, client } = topology.hosts);
    await client.exec(['ip', 'address', 'add', `${BOB}/24`, 'dev', 'eth0']);
    const mac = client.interfaces[0]!.mac;
    await server.exec(['ip', 'neighbour', 'replace', BOB, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent']);
    const echo = startPeer(server);
    for (const port of [80, 81]) await echo.listen('tcp', port);
    peer = startPeer(client);
    sender = startSender(client);
  });
  beforeEach(async (t) => {
    await server.exec(['nft', 'flush', 'ruleset']);
    folder = mkdtempSync(join(tmpdir(), 'postern-trouble-'));
    (t as TestContext).after(() => rmSync(folder, { recursive: true, force: true }));
  });
  after(() => topology?.close());

  const start = (doors: string, options: Partial<PosterndOptions> = {}): Promise<Posternd> =>
    startPosternd(server, { doors, folder, ...options });
  const connect = (source: string, port = 80): Promise<Outcome> => peer.connect({ source, destination: SERVER, port });
  const knock = async (source: string): Promise<void> =>
    void (await sender.send(`src=${source} dst=${SERVER}: ${KNOCK}`));
  /** A knock opens, and the kernel closes: the door works. */
  const works = async (daemon: Posternd, source = ALICE): Promise<void> => {
    assert.notEqual(await connect(source), 'connected');
    const from = daemon.running.lines.length;
    await knock(source);
    const wait = (what: string): Promise<unknown> =>
      daemon.running.waitForLine(new RegExp(`^ssh: ${what} for ${source.replaceAll('.', '\\.')} `), 10_000, from);
    await wait('opened');
    assert.equal(await connect(source), 'connected');
    await wait('time over');
    assert.notEqual(await connect(source), 'connected');
  };

  describe('reload', () => {
    test('under fire: whoever has no grant gets through at no moment, whoever has one at every', async (t) => {
      const doors = [
        `[firewall]\nface = "drop"\n${door('1h')}`,
        `[firewall]\nface = "drop"\n${door('2h', 'close = "kill"')}[door.more]\nprotect = ["tcp/81", "udp/1000-2000"]\n`,
      ] as const;
      await using daemon = await start(doors[0]);
      await client.exec(['nft', '-f', '-'], {
        input: `table inet count {
          chain in {
            type filter hook prerouting priority -300
            ip daddr ${BOB} tcp sport 80 tcp flags & (syn | ack) == (syn | ack) counter
          }
        }`,
      });
      await daemon.ask((asked) => asked.open('ssh', ALICE));
      let over = false;
      let sent = 0;
      const fire = startSender(client);
      const flood = { destination: SERVER, firstSource: BOB, sources: 1, port: 80, rate: 5000, seconds: 1 };
      const firing = (async () => {
        while (!over) sent += (await fire.flood(flood)).sent;
      })();
      let kept = 0;
      const keeping = (async () => {
        while (!over) {
          // A SYN that its own flood pushes out of a queue is sent again after a second.
          const outcome = await peer.connect({ source: ALICE, destination: SERVER, port: 80, wait: 5000 });
          assert.equal(outcome, 'connected');
          kept += 1;
          await sleep(10);
        }
      })();
      const started = performance.now();
      let reloads = 0;
      const reloading = daemon.ask(async (asked) => {
        while (!over && reloads < RELOADS && performance.now() - started < RELOADING) {
          reloads += 1;
          daemon.write(doors[reloads % 2]!);
          await asked.reload();
        }
      });
      const ends = [reloading, firing, keeping];
      await Promise.race(ends).finally(() => {
        over = true;
      });
      await Promise.all(ends);
      const { stdout } = await client.exec(['nft', 'list', 'table', 'inet', 'count']);
      await client.exec(['nft', 'delete', 'table', 'inet', 'count']);
      t.diagnostic(`${reloads} reloads under ${sent} SYNs, ${kept} connections of the grant`);
      assert.match(stdout, /counter packets 0 /);
      assert.ok(reloads > 20 && sent > reloads);
    });

    test('a broken file changes nothing and says why, to whoever asks and in the log', async () => {
      await using daemon = await start(door('1h'));
      await daemon.ask((asked) => asked.open('ssh', ALICE));
      daemon.write(door('1h').replace('protect', 'protcet').replace('7000', '70000'));
      await assert.rejects(
        daemon.ask((asked) => asked.reload()),
        (error: Error) => {
          assert.match(error.message, /postern\.toml:\d+: .*"protcet"/);
          assert.match(error.message, /hint: .*"protect"/);
          assert.match(error.message, /postern\.toml:\d+: .*70000/);
          assert.match(error.message, /^The configuration is unchanged$/m);
          return true;
        },
      );
      const from = daemon.running.lines.length;
      daemon.running.kill('SIGHUP');
      await daemon.running.waitForLine(/postern\.toml:\d+: .*"protcet"/, 10_000, from);
      await daemon.running.waitForLine(/^The configuration is unchanged$/, 10_000, from);
      assert.deepEqual([await connect(ALICE), await connect(BOB)], ['connected', 'refused']);
      assert.deepEqual(await daemon.sources(), [ALICE]);
      await knock(BOB);
      await daemon.running.waitForLine(/^ssh: opened for 10\.77\.1\.3/);

      daemon.write(door('2h'));
      daemon.running.kill('SIGHUP');
      await daemon.running.waitForLine(/^configuration reloaded/);
      assert.equal((await daemon.ask((asked) => asked.show('ssh'))).open_for_ms, 7_200_000);
      assert.deepEqual(await daemon.sources(), [ALICE, BOB]);
    });

    test('doors come and go; the grants of those that are gone end, with their hooks', async () => {
      const hook = 'on_close = ["/bin/sh", "-c", "echo $POSTERN_EVENT $POSTERN_DOOR"]\n';
      await using daemon = await start(`[door.old]\nprotect = ["tcp/81"]\n${hook}`);
      await daemon.ask((asked) => asked.open('old', ALICE));
      assert.deepEqual([await connect(ALICE, 81), await connect(BOB, 81)], ['connected', 'refused']);
      daemon.write(door('1s'));
      assert.deepEqual(await daemon.ask((asked) => asked.reload()), { doors: 1, warnings: [] });
      await daemon.running.waitForLine(/^old: closed for 10\.77\.1\.2 \(hand, root, the door is gone\)$/);
      await daemon.running.waitForLine(/^old: hook for 10\.77\.1\.2 \(on_close\): close old$/);
      assert.deepEqual([await connect(BOB, 81), await connect(ALICE)], ['connected', 'refused']);
      await works(daemon);
      daemon.write(`${door('1s')}[journal]\nkeep = "1d"\n[control]\nsocket = "elsewhere"\n`);
      const { warnings } = await daemon.ask((asked) => asked.reload());
      assert.match(warnings.join(), /takes effect with the next start: socket in \[control\]$/);
      const argv = [process.execPath, POSTERN, '--config', join(daemon.folder, 'postern.toml'), 'reload'];
      const { stderr, status } = await server.exec(argv, { mayFail: true });
      const socket = join(daemon.folder, 'state/control.sock');
      assert.match(
        stderr,
        new RegExp(`^hint: A daemon listens at ${socket}, .*: postern --socket ${socket} reload`, 'm'),
      );
      assert.equal(status, 1);
    });
  });

  test('a daemon that is stopped is waited for so long and no longer, and does not do later what nobody waits for', async () => {
    await using daemon = await start(door('30s'));
    process.kill(daemon.running.pid, 'SIGSTOP');
    const asked = async (): Promise<void> => {
      using client = await connectControl(join(daemon.folder, 'state/control.sock'), 300);
      await client.open('ssh', ALICE);
    };
    await assert.rejects(asked(), /The daemon has not answered for 0\.3 seconds/);
    process.kill(daemon.running.pid, 'SIGCONT');
    assert.deepEqual(await daemon.sources(), []);
    await daemon.ask((client) => client.open('ssh', BOB));
    assert.deepEqual(await daemon.sources(), [BOB]);
  });

  describe('state', () => {
    const settings = (state: string): string =>
      `[state]\ndir = "${state}"\n[control]\nsocket = "control.sock"\n[log]\nsyslog = false\n`;
    const onSmallDisk = (setUp: string): Partial<PosterndOptions> => ({
      settings: settings('disk/state'),
      socket: join(folder, 'control.sock'),
      within: `mkdir -p disk; exec unshare -m sh -ec 'mount -t tmpfs -o size=400k none disk; ${setUp}; exec "$0" "$@"' "$0" "$@"`,
    });
    const FILL = 'dd if=/dev/zero of=disk/ballast bs=4k 2>/dev/null || true';

    test('a damaged one is set aside and begun anew; what the kernel holds is adopted', async () => {
      const first = await start(door('3s'));
      await first.ask((asked) => asked.open('ssh', ALICE, '1h'));
      await first.stop('SIGKILL');
      for (const name of readdirSync(join(folder, 'state'))) {
        if (name.endsWith('-wal') || name.endsWith('-shm')) rmSync(join(folder, 'state', name));
      }
      writeFileSync(join(folder, 'state/state.sqlite'), 'this is no database'.repeat(1000));
      await using second = await start(door('1s'));
      await second.running.waitForLine(/^warning: .*state\.sqlite was damaged and is begun anew, the old one is /);
      assert.equal(await connect(ALICE), 'connected');
      assert.deepEqual(await second.sources(), [ALICE]);
      await works(second, BOB);
    });

    test('a missing one is begun anew, with what the kernel holds', async () => {
      const first = await start(door('3s'));
      await first.ask((asked) => asked.open('ssh', ALICE, '1h'));
      await first.stop('SIGKILL');
      rmSync(join(folder, 'state'), { recursive: true });
      await using second = await start(door('1s'));
      assert.deepEqual(await second.sources(), [ALICE]);
      await works(second, BOB);
    });

    test('on a disk that cannot be written, or is full, doors work and it is said', async () => {
      for (const [setUp, reason] of [
        [
          'mount -o remount,ro disk',
          /warning: Cannot write .*state\.sqlite: .*: grants and history are kept in memory/,
        ],
        [FILL, /warning: .*(full|space|kept in memory)/],
      ] as const) {
        await server.exec(['nft', 'flush', 'ruleset']);
        await using daemon = await start(door('1s'), onSmallDisk(setUp));
        await daemon.running.waitForLine(reason);
        await works(daemon);
        const { warnings } = await daemon.ask((asked) => asked.status());
        assert.notEqual(warnings.length, 0);
        const types = (await daemon.history()).map(({ type }) => type).filter((type) => type !== 'refused');
        assert.deepEqual(types, ['started', 'opened', 'expired']);
        assert.equal((await daemon.stop()).status, 0);
      }
    });

    test('where nothing at all can be written, not even the control socket, doors work', async () => {
      await using daemon = await start(door('1s'), {
        settings: '[state]\ndir = "disk/state"\n[log]\nsyslog = false\n',
        within: `mkdir -p disk; exec unshare -m sh -ec 'mount -t tmpfs -o ro none disk; exec "$0" "$@"' "$0" "$@"`,
      });
      await daemon.running.waitForLine(
        /^warning: Cannot make the folder .*: doors work, but nobody can ask for anything$/,
      );
      await daemon.running.waitForLine(/^warning: Cannot lock .*see that no other daemon runs$/);
      await works(daemon);
    });

    test('a disk that fills up later stops no door, and is told', async () => {
      await using daemon = await start(door('1s'), onSmallDisk('true'));
      await works(daemon);
      await server.exec(['nsenter', '-m', '-t', `${daemon.running.pid}`, 'sh', '-c', `cd ${folder}; ${FILL}`]);
      for (let grant = 0; grant < 40; grant += 1) {
        await daemon.ask((asked) => asked.open('ssh', `10.77.3.${1 + grant}`, '100ms'));
      }
      await daemon.running.waitForLine(/^warning: Cannot write .*kept in memory$/);
      await works(daemon);
      assert.notEqual((await daemon.ask((asked) => asked.status())).warnings.length, 0);
    });

    test('a grant that was closed while the disk was full does not come back with the next daemon', async () => {
      const disk = server.spawn(
        ['unshare', '-m', 'sh', '-ec', 'mkdir disk; mount -t tmpfs -o size=400k none disk; echo up; exec sleep 1000'],
        { cwd: folder },
      );
      await disk.waitForLine(/^up$/);
      const onIt = { settings: settings('disk/state'), socket: join(folder, 'control.sock') };
      const within = `exec nsenter -m -t ${disk.pid} sh -ec 'cd ${folder}; exec "$0" "$@"' "$0" "$@"`;
      const first = await start(door('1h'), { ...onIt, within });
      await knock(ALICE);
      await first.running.waitForLine(/^ssh: opened for/);
      await server.exec(['nsenter', '-m', '-t', `${disk.pid}`, 'sh', '-c', `cd ${folder}; ${FILL}`]);
      for (let grant = 0; grant < 40; grant += 1) {
        await first.ask((asked) => asked.open('ssh', `10.77.3.${1 + grant}`, '100ms'));
      }
      await first.running.waitForLine(/^warning: Cannot write .*kept in memory$/);
      assert.deepEqual(await first.ask((asked) => asked.close('ssh', ALICE)), { closed: 1 });
      await first.stop('SIGKILL');
      await using second = await start(door('1h'), { ...onIt, within });
      assert.equal((await second.sources()).includes(ALICE), false);
      assert.notEqual(await connect(ALICE), 'connected');
      await disk.stop();
    });

    test('a clock that was set back cannot keep a door open longer than its own time', async () => {
      const first = await start(door('3s'));
      await knock(ALICE);
      await first.running.waitForLine(/^ssh: opened for/);
      await first.stop('SIGKILL');
      await server.exec(['nft', 'flush', 'ruleset']);
      const database = new DatabaseSync(join(folder, 'state/state.sqlite'));
      database.exec('UPDATE grants SET until = until + 31536000000, opened = opened + 31536000000');
      database.close();
      await using second = await start(door('3s'));
      const [grant] = (await second.ask((asked) => asked.status())).doors[0]!.grants;
      assert.ok((grant?.remaining_ms ?? 0) > 0 && (grant?.remaining_ms ?? 0) <= 3000, `${grant?.remaining_ms}`);
      await second.running.waitForLine(/^ssh: time over/);
      assert.notEqual(await connect(ALICE), 'connected');
    });

    test('a clock that was set forward does not shut out whom the kernel lets in', async () => {
      const first = await start(door('1h'));
      await knock(ALICE);
      await first.running.waitForLine(/^ssh: opened for/);
      await first.stop('SIGKILL');
      const database = new DatabaseSync(join(folder, 'state/state.sqlite'));
      database.exec('UPDATE grants SET until = until - 31536000000, opened = opened - 31536000000');
      database.close();
      await using second = await start(door('1h'));
      assert.deepEqual([await second.sources(), [...(await kernelGrants(server)).keys()]], [[ALICE], [ALICE]]);
      assert.deepEqual(await second.ask((asked) => asked.close('ssh')), { closed: 1 });
      assert.notEqual(await connect(ALICE), 'connected');
    });
  });

  test('where no watcher lives, the daemon ends instead of waiting for one, and the door stays closed', async () => {
    using built = await builtPackage();
    writeFileSync(join(built.path, 'dist/watcher-main.js'), 'process.exit(3);');
    const program = join(built.path, 'bin/posternd');
    const { status, stderr } = await launchPosternd(server, { doors: door('1s'), folder, program }).running.ended;
    assert.deepEqual([status, stderr], [1, 'the watcher does not start; see the lines above\n']);
    assert.notEqual(await connect(ALICE), 'connected');
  });

  describe('one clear line and status 1', () => {
    const refusal = async (options: Partial<PosterndOptions>): Promise<string> => {
      const { status, stdout, stderr } = await launchPosternd(server, { doors: door('1s'), folder, ...options }).running
        .ended;
      assert.deepEqual([status, stdout], [1, '']);
      assert.match(stderr, /^[^\n]+\n(hint: [^\n]+\n)?$/);
      return stderr;
    };

    test('without the right to change the firewall', async () => {
      const within = 'exec setpriv --bounding-set=-net_admin --inh-caps=-net_admin -- "$0" "$@"';
      assert.match(
        await refusal({ within }),
        /^posternd: Cannot change the firewall: run it as root, or give it CAP_NET_ADMIN/,
      );
    });

    test('without the right to capture', async () => {
      const within = 'exec setpriv --bounding-set=-net_raw --inh-caps=-net_raw -- "$0" "$@"';
      assert.match(await refusal({ within }), /^posternd: Cannot listen on eth0: no permission to capture/);
    });

    test('for an interface that there is not', async () => {
      assert.match(
        await refusal({ interfaces: ['nosuch0'] }),
        /^posternd: Cannot listen on nosuch0: there is no such interface$/m,
      );
    });

    test('for a second daemon on the same state, and for one with another state on the same host', async () => {
      await using first = await start(door('1s'));
      assert.match(
        await refusal({}),
        new RegExp(
          `^posternd: another daemon has the state in .* \\(pid ${first.running.pid}\\)\nhint: To see it: postern status; .*\n$`,
        ),
      );
      const elsewhere = join(folder, 'elsewhere');
      mkdirSync(elsewhere);
      assert.match(
        await refusal({ folder: elsewhere }),
        new RegExp(
          `^posternd: another daemon has the guard of this host's ports \\(pid ${first.running.pid}\\)\nhint: To see it: postern status; .*\n$`,
        ),
      );
      await works(first);
    });
  });
});
