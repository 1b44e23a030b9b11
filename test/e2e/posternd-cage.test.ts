/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * What both halves of a running posternd hold, on every thread, as the kernel sees it; and that it is enough.
 */

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { startSender } from '../support/sender.ts';

const skip = unavailable('nft', 'ss');

const UNIT = join(import.meta.dirname, '../../systemd/posternd.service');
const CAP_KILL = 5n;
/** CHOWN, DAC_READ_SEARCH, KILL, SETGID, SETUID, NET_ADMIN, NET_RAW. */
const KEPT = [0, 2, 5, 6, 7, 12, 13].reduce((bits, capability) => bits | (1n << BigInt(capability)), 0n);

describe('the cage', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let peer: Peer;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    server = topology.hosts.server;
    await startPeer(server).listen('tcp', 22);
    peer = startPeer(topology.hosts.client);
    folder = mkdtempSync(join(tmpdir(), 'postern-cage-'));
  });
  beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
  after(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const statuses = (pid: number): readonly Readonly<Record<string, string>>[] =>
    readdirSync(`/proc/${pid}/task`).map((thread) => {
      const text = readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1');
      return Object.fromEntries([...text.matchAll(/^(\w+):\t?(.*)$/gm)].map((field) => [field[1]!, field[2]!]));
    });
  const knock = (): Promise<unknown> =>
    startSender(topology.hosts.client).send(`src=10.77.1.2 dst=10.77.1.1: ${KNOCK}`);
  const reaches = async (): Promise<boolean> => {
    const deadline = performance.now() + 3000;
    for (;;) {
      if ((await peer.connect({ source: '10.77.1.2', destination: '10.77.1.1', port: 22 })) === 'connected')
        return true;
      if (performance.now() > deadline) return false;
      await sleep(20);
    }
  };

  test('the watcher holds nothing, the keeper what doors need, and both do their work', async () => {
    const door = sshDoor('30s', 'close = "kill"');
    await using daemon = await startPosternd(server, { doors: door });
    for (const { Name = '', CapEff = '', CapBnd = '' } of statuses(daemon.running.pid)) {
      for (const set of [CapEff, CapBnd]) assert.equal(BigInt(`0x${set}`) & ~KEPT, 0n, `${Name}: ${set}`);
    }
    for (const { Name = '', Uid = '', CapPrm, CapBnd = '', NoNewPrivs, Seccomp } of statuses(daemon.watcher())) {
      assert.deepEqual([CapPrm, NoNewPrivs, Seccomp], ['0'.repeat(16), '1', '2'], Name);
      assert.equal(Uid.split('\t').includes('0'), false, Name);
      assert.equal(BigInt(`0x${CapBnd}`) & ~KEPT, 0n, Name);
    }
    await knock();
    assert.ok(await reaches());
    const session = await peer.begin({ source: '10.77.1.2', destination: '10.77.1.1', port: 22 });
    assert.equal((await daemon.ask((control) => control.close('ssh'))).closed, 1);
    assert.notEqual(await session.says('still here?'), 'connected');
    await session.end();
    // Another watcher is started with what is left.
    const first = daemon.watcher();
    process.kill(first, 'SIGKILL');
    await daemon.running.waitForLine(/the watcher was killed by SIGKILL/);
    await knock();
    assert.ok(await reaches());
  });

  test('what the systemd unit leaves is enough, also to end a watcher that hangs', async () => {
    const [, names = ''] = /^CapabilityBoundingSet=(.+)$/m.exec(readFileSync(UNIT, 'utf8')) ?? [];
    const bounding = ['-all', ...names.split(' ').map((name) => name.toLowerCase().replace('cap_', '+'))].join();
    const within = `exec setpriv --bounding-set=${bounding} "$0" "$@"`;
    await using daemon = await startPosternd(server, { doors: sshDoor('30s'), within });
    for (const { Name = '', CapEff = '' } of statuses(daemon.running.pid))
      assert.equal(BigInt(`0x${CapEff}`) & (1n << CAP_KILL), 0n, `${Name}: ${CapEff}`);
    await knock();
    assert.ok(await reaches());
    const watcher = daemon.watcher();
    process.kill(watcher, 'SIGSTOP');
    assert.equal((await daemon.stop()).status, 0);
    for (let waited = 0; existsSync(`/proc/${watcher}`) && waited < 5000; waited += 20) await sleep(20);
    assert.equal(existsSync(`/proc/${watcher}`), false);
  });

  test('hooks are run with all that root has', async () => {
    const hook = join(folder, 'hook');
    writeFileSync(hook, '#!/bin/sh\ngrep ^CapEff /proc/self/status\n');
    chmodSync(hook, 0o755);
    await using daemon = await startPosternd(server, { doors: sshDoor('30s', `on_open = ["${hook}"]`) });
    await knock();
    const [, hex] = await daemon.running.waitForLine(/^ssh: hook for .*CapEff:.([0-9a-f]{16})/);
    const held = BigInt(`0x${hex}`);
    const own = BigInt(`0x${/^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]}`);
    assert.equal(held, own);
  });
});
