/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * posternd over a firewall program of the administrator's: grants open and end, a lost guard comes back, a killed daemon finds what it opened.
 */

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { COMMAND_PROGRAM } from '../support/command-program.ts';
import { createTopology, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import { sshDoor, startPosternd } from '../support/posternd-host.ts';

const skip = unavailable('nft');
const PATIENCE = 10_000;

describe('posternd with the driver `command`', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let peer: Peer;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    await startPeer(topology.hosts.server).listen('tcp', 22);
    peer = startPeer(topology.hosts.client);
    folder = mkdtempSync(join(tmpdir(), 'postern-command-'));
    writeFileSync(join(folder, 'firewall'), COMMAND_PROGRAM);
    chmodSync(join(folder, 'firewall'), 0o755);
  });
  after(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  test('opens, ends, comes back', async () => {
    const { server, client } = topology.hosts;
    const becomes = async (wanted: string, six = false): Promise<string> => {
      const [source, destination] = six ? [client.address6, server.address6] : [client.address4, server.address4];
      const deadline = performance.now() + PATIENCE;
      for (;;) {
        const outcome = await peer.connect({ source, destination, port: 22 });
        if (outcome === wanted || performance.now() > deadline) return outcome;
        await sleep(100);
      }
    };
    const firewall = `[firewall]\ndriver = "command"\nface = "drop"\ncommand = ["${join(folder, 'firewall')}"]\n`;
    const options = { doors: `${firewall}${sshDoor('2s')}`, folder: join(folder, 'daemon') };
    await using first = await startPosternd(server, options);
    assert.equal(await becomes('silent'), 'silent');
    for (const source of [client.address4, client.address6]) await first.ask((control) => control.open('ssh', source));
    assert.deepEqual([await becomes('connected'), await becomes('connected', true)], ['connected', 'connected']);
    assert.deepEqual([await becomes('silent'), await becomes('silent', true)], ['silent', 'silent']);
    await server.exec(['nft', 'flush', 'ruleset']);
    await first.running.waitForLine(/guard had been removed/, PATIENCE);
    assert.equal(await becomes('silent'), 'silent');
    await first.ask((control) => control.open('ssh', client.address6, '6s'));
    await first.stop('SIGKILL');
    await using second = await startPosternd(server, options);
    assert.equal(await becomes('connected', true), 'connected');
    assert.equal(await becomes('silent', true), 'silent');
    assert.deepEqual(await second.sources(), []);
  });
});
