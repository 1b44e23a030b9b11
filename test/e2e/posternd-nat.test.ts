/**
 *     alice 10.77.2.2 ── 10.77.2.1 ┐
 *     bob   10.77.3.2 ── 10.77.3.1 ├ router 10.77.1.2 ── 10.77.1.1 server
 *
 * The router masquerades: the server sees one address. A grant is for that address, so it is its neighbours' as well.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createTopology, unavailable } from '../support/netns.ts';
import { startPeer } from '../support/peer.ts';
import { sshDoor, startPosternd } from '../support/posternd-host.ts';

const KNOCK = join(import.meta.dirname, '../../bin/knock');
/** On a busy machine. */
const PATIENCE = 5000;

test('neighbours behind one NAT share a grant, while it lasts, and nothing of one another’s sessions', {
  skip: unavailable('nft'),
}, async () => {
  await using topology = await createTopology({
    links: [
      ['server', 'router'],
      ['router', 'alice'],
      ['router', 'bob'],
    ],
  });
  const { server, router, alice, bob } = topology.hosts;
  await router.exec(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
  await router.exec(['nft', '-f', '-'], {
    input: 'table ip nat {\n chain out {\n type nat hook postrouting priority 100; oifname "eth0" masquerade\n }\n}\n',
  });
  await alice.exec(['ip', 'route', 'add', 'default', 'via', '10.77.2.1']);
  await bob.exec(['ip', 'route', 'add', 'default', 'via', '10.77.3.1']);
  await startPeer(server).listen('tcp', 22);
  const peers = { alice: startPeer(alice), bob: startPeer(bob) };
  const way = { destination: '10.77.1.1', port: 22 };
  const reaches = async (who: keyof typeof peers): Promise<boolean> => (await peers[who].connect(way)) === 'connected';
  const comesIn = async (who: keyof typeof peers): Promise<boolean> => {
    const deadline = performance.now() + PATIENCE;
    while (performance.now() < deadline) if (await reaches(who)) return true;
    return false;
  };

  await using daemon = await startPosternd(server, { doors: sshDoor('1h') });
  assert.deepEqual([await reaches('alice'), await reaches('bob')], [false, false]);
  await alice.exec([process.execPath, KNOCK, '10.77.1.1', '7000', '8000:udp', '9000']);
  assert.ok(await comesIn('alice'));
  assert.ok(await reaches('bob'), 'he has not knocked');
  assert.deepEqual(await daemon.sources(), ['10.77.1.2']);
  const session = await peers.alice.begin(way);
  await daemon.ask((control) => control.close('ssh'));
  assert.deepEqual([await reaches('alice'), await reaches('bob')], [false, false]);
  assert.equal(await session.says('still here'), 'connected');
  await session.end();
});
