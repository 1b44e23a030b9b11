/**
 * posternd as a service: doors closed before it runs, what it tells systemd, and that it works with the capabilities of its unit.
 *
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, type Host, unavailable } from '../support/netns.ts';
import { startPeer } from '../support/peer.ts';
import { KNOCK, kernelGrants, sshDoor, startPosternd } from '../support/posternd-host.ts';
import type { Ended } from '../support/running.ts';
import { startSender } from '../support/sender.ts';

const root = join(import.meta.dirname, '../..');
const POSTERND = join(root, 'bin/posternd');
const skip = unavailable('nft', 'nc', 'setpriv');

/** `--guard-only` with this configuration, in a folder that a daemon can go on in. */
async function closeDoors(host: Host, folder: string, doors: string): Promise<Ended> {
  writeFileSync(join(folder, 'guard.toml'), `[state]\ndir = "state"\n[log]\nsyslog = false\n${doors}`);
  return host.exec([process.execPath, POSTERND, '--guard-only', '--config', 'guard.toml'], {
    cwd: folder,
    mayFail: true,
  });
}

function newFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'postern-service-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A network with servers on 22 and 80, and what a client can do in it. */
async function stage() {
  const topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  const echo = startPeer(server);
  for (const port of [22, 80]) await echo.listen('tcp', port);
  const [peer, sender] = [startPeer(client), startSender(client)];
  const [source, destination] = [client.address4, server.address4];
  return {
    server,
    client,
    reaches: async (port: number): Promise<boolean> =>
      (await peer.connect({ source, destination, port })) === 'connected',
    knock: async (): Promise<void> => void (await sender.send(`src=${source} dst=${destination}: ${KNOCK}`)),
    [Symbol.asyncDispose]: () => topology.close(),
  };
}

async function eventually(what: () => boolean | Promise<boolean>, patience = 10_000): Promise<void> {
  const start = performance.now();
  while (!(await what())) {
    if (performance.now() - start > patience) assert.fail(`not so after ${patience} ms: ${what}`);
    await sleep(50);
  }
}

describe('posternd as a service', { skip }, () => {
  test('`--guard-only` closes doors and ends; the daemon takes the guard over, and its doors open', async () => {
    await using host = await stage();
    const { server, client, reaches, knock } = host;
    using folder = newFolder();
    assert.equal(await reaches(22), true);
    const { status, stdout, stderr } = await closeDoors(server, folder.path, sshDoor('30s'));
    assert.deepEqual([status, stdout, stderr], [0, 'guarded until the daemon takes over: ssh\n', '']);
    assert.equal(await reaches(22), false);
    await using daemon = await startPosternd(server, { doors: sshDoor('30s'), folder: folder.path });
    assert.equal(await reaches(22), false);
    await knock();
    await eventually(async () => (await kernelGrants(server)).has(client.address4));
    assert.equal(await reaches(22), true);

    const again = await closeDoors(server, folder.path, sshDoor('30s'));
    assert.deepEqual([again.status, again.stdout], [0, 'a daemon runs, and guards the ports already\n']);
    assert.ok((await kernelGrants(server)).has(client.address4));
    assert.equal((await daemon.stop()).status, 0);
  });

  test('A door with `boot = "open"` is open until the daemon is ready, and the others are not', async () => {
    await using host = await stage();
    const { server, reaches } = host;
    using folder = newFolder();
    const doors = '[door.www]\nprotect = ["tcp/80"]\nboot = "open"\n[door.ssh]\nprotect = ["tcp/22"]\n';
    const { stdout } = await closeDoors(server, folder.path, doors);
    assert.equal(stdout, 'guarded until the daemon takes over: ssh\n');
    assert.deepEqual([await reaches(80), await reaches(22)], [true, false]);
    await using daemon = await startPosternd(server, { doors, folder: folder.path });
    assert.deepEqual([await reaches(80), await reaches(22)], [false, false]);
    await daemon.stop();
    // Stopping changes nothing: only the start of a machine is a start.
    assert.equal(await reaches(80), false);
  });

  test('A configuration that is refused closes nothing, and says so', async () => {
    await using host = await stage();
    using folder = newFolder();
    const { status, stdout, stderr } = await closeDoors(host.server, folder.path, '[door.ssh]\nprotect = 1\n');
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /guard\.toml:/);
  });

  test('systemd hears of the start, of pings, of a reload and of the end; what the daemon starts cannot speak for it', async () => {
    await using host = await stage();
    const { server } = host;
    using folder = newFolder();
    const socket = join(folder.path, 'notify');
    const manager = server.spawn(['nc', '-lkuU', socket]);
    await eventually(async () => (await server.exec(['test', '-S', socket], { mayFail: true })).status === 0);
    await using daemon = await startPosternd(server, {
      doors: sshDoor('30s', 'on_open = ["/usr/bin/env"]'),
      folder: folder.path,
      within: `export NOTIFY_SOCKET=${socket} WATCHDOG_USEC=600000 WATCHDOG_PID=$$; exec "$0" "$@"`,
    });
    await eventually(() => /^READY=1(WATCHDOG=1){3,}/.test(manager.stdout));
    daemon.running.kill('SIGHUP');
    await eventually(() => /RELOADING=1\nMONOTONIC_USEC=\d+?(WATCHDOG=1)*READY=1/.test(manager.stdout));
    await daemon.ask((client) => client.open('ssh', '192.0.2.7'));
    await eventually(async () => (await daemon.history()).some(({ type }) => type === 'hooked'));
    const hooked = (await daemon.history()).find(({ type }) => type === 'hooked');
    assert.doesNotMatch(JSON.stringify(hooked), /NOTIFY_SOCKET|WATCHDOG/);
    assert.equal((await daemon.stop()).status, 0);
    await eventually(() => /STOPPING=1$/.test(manager.stdout));
  });

  test('With the capabilities of its unit, and little that it may write, it opens, closes, and kills a watcher that hangs', async () => {
    await using host = await stage();
    const { server, client, reaches, knock } = host;
    using folder = newFolder();
    const unit = readFileSync(join(root, 'systemd/posternd.service'), 'utf8');
    const kept = /^CapabilityBoundingSet=(.*)$/m.exec(unit)![1]!.toLowerCase().replaceAll('cap_', '+');
    // In the mount namespace that `ip netns exec` made for it.
    const writable = ['/run/postern', folder.path].map((path) => `mkdir -p ${path}; mount --bind ${path} ${path};`);
    await using daemon = await startPosternd(server, {
      doors: sshDoor('30s', 'close = "kill"'),
      folder: folder.path,
      within: `${writable.join(' ')} mount -o remount,bind,ro /;
        exec setpriv --bounding-set=-all,${kept.replaceAll(' ', ',')} --no-new-privs "$0" "$@"`,
    });
    const { watcher, warnings } = await daemon.ask((control) => control.status());
    assert.match(watcher.confinement, /^user [1-9]\d*, /);
    assert.deepEqual(warnings, []);
    await knock();
    await eventually(async () => (await kernelGrants(server)).has(client.address4));
    assert.equal(await reaches(22), true);
    assert.deepEqual(await daemon.ask((control) => control.close('ssh')), { closed: 1 });
    assert.equal(await reaches(22), false);
    const hung = daemon.watcher();
    process.kill(hung, 'SIGSTOP');
    await eventually(async () => (await daemon.ask((control) => control.status())).watcher.pid !== hung, 30_000);
    const { status, stderr } = await daemon.stop();
    assert.equal(status, 0);
    assert.doesNotMatch(stderr, /Cannot/);
  });
});
