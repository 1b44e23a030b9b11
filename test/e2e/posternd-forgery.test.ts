/**
 *     alice   10.77.1.2 ┐
 *     mallory 10.77.1.3 ├─ eth0 10.77.1.1 server
 *     a crowd 10.78.0.0 ┘  (forged)
 *
 * Packets in other people's names while somebody knocks, and a knock repeated from elsewhere: what SECURITY.md says of them, line by line.
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { type Sender, startSender } from '../support/sender.ts';

const skip = unavailable('nft');

const ALICE = '10.77.1.2';
const MALLORY = '10.77.1.3';
const SERVER = '10.77.1.1';
/** On a busy machine. */
const PATIENCE = 5000;
const BAN = '[ban]\nafter = 10\nwithin = "10m"\nfor = "10m"\n';

describe('forged packets', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let peer: Peer;
  let sender: Sender;
  let forger: Sender;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server } = topology.hosts);
    const { client } = topology.hosts;
    await client.exec(['ip', 'address', 'add', `${MALLORY}/24`, 'dev', 'eth0']);
    await startPeer(server).listen('tcp', 22);
    peer = startPeer(client);
    sender = startSender(client);
    forger = startSender(client);
  });
  beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
  after(() => topology?.close());

  /** 50 ms between the steps, so that ten forged packets come between two of them. */
  const knock = async (source: string): Promise<void> =>
    void (await sender.send(`src=${source} dst=${SERVER}: gap=0.05 ${KNOCK}`));
  const reaches = async (source: string): Promise<boolean> =>
    (await peer.connect({ source, destination: SERVER, port: 22 })) === 'connected';
  const comesIn = async (source: string): Promise<boolean> => {
    const deadline = performance.now() + PATIENCE;
    while (performance.now() < deadline) if (await reaches(source)) return true;
    return false;
  };
  const banned = (daemon: Posternd): Promise<readonly string[]> =>
    daemon.ask(async (control) => (await control.status()).bans.map(({ source }) => source));

  /** Strays in alice's name, each to another port, 200 a second for three seconds; meanwhile the rest. */
  async function whileForged(during: () => Promise<void>): Promise<void> {
    let over = false;
    const flood = forger.send(`src=${ALICE} dst=${SERVER}: gap=0.005 10001-10600`).then(() => {
      over = true;
    });
    await sleep(100);
    await during();
    assert.equal(over, false, 'the flood was over before it was to be');
    await flood;
  }

  test('in other names, during a knock, they keep nobody out', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') + BAN });
    const crowd = { destination: SERVER, firstSource: '10.78.0.0', sources: 60_000, rate: 5000, seconds: 3 };
    const flood = forger.flood({ ...crowd, port: 7000, count: 15_000 });
    await sleep(100);
    await knock(ALICE);
    assert.ok(await comesIn(ALICE));
    assert.ok((await flood).sent > 10_000);
    assert.deepEqual(await daemon.sources(), [ALICE]);
  });

  test('in the name of whoever knocks they keep the knock from counting, for as long as they come', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') + BAN });
    await knock(ALICE);
    assert.ok(await comesIn(ALICE));
    const session = await peer.begin({ source: ALICE, destination: SERVER, port: 22 });
    await whileForged(async () => {
      assert.ok(await reaches(ALICE), 'an open grant');
      await sleep(1200); // The watcher tells twice a second.
      assert.deepEqual(await banned(daemon), [], 'who has a grant is not banned for it');
    });
    await daemon.ask((control) => control.close('ssh'));
    await whileForged(async () => {
      for (let tries = 0; tries < 3; tries += 1) await knock(ALICE);
      assert.deepEqual(await daemon.sources(), [], 'a knock came through');
      assert.equal(await session.says('still here'), 'connected');
      assert.deepEqual(await banned(daemon), [], 'who has a session is not banned for it');
      await daemon.ask((control) => control.allow(ALICE, '1m'));
      assert.ok(await reaches(ALICE), 'allowed by hand');
    });
    await daemon.ask((control) => control.disallow(ALICE));
    const failed = (await daemon.history()).filter(({ type, source }) => type === 'failed' && source === ALICE);
    assert.ok(
      failed.some(({ reason }) => reason === 'strays'),
      'it is told why',
    );
    assert.equal(await reaches(ALICE), false);
    await knock(ALICE);
    assert.ok(await comesIn(ALICE), 'the first knock after it');
    await session.end();
  });

  test('they have somebody banned who is away; who is allowed, or let in by hand, comes in all the same', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') + BAN });
    await whileForged(async () => {
      const deadline = performance.now() + PATIENCE;
      while (performance.now() < deadline && (await banned(daemon)).length === 0) await sleep(50);
      assert.deepEqual(await banned(daemon), [ALICE]);
      await daemon.ask((control) => control.allow(ALICE, '1m'));
      assert.ok(await comesIn(ALICE));
      await daemon.ask((control) => control.disallow(ALICE));
      await daemon.ask((control) => control.open('ssh', ALICE));
      assert.ok(await comesIn(ALICE));
      assert.deepEqual(await banned(daemon), []);
    });
  });

  test('a knock that is repeated from elsewhere opens for there, and is told as any other opening', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') });
    await knock(ALICE);
    assert.ok(await comesIn(ALICE));
    await knock(MALLORY);
    assert.ok(await comesIn(MALLORY));
    const told = (await daemon.history()).filter(({ source }) => source === ALICE || source === MALLORY);
    assert.deepEqual(
      told.filter(({ type }) => type !== 'refused').map(({ type, door, source, via }) => [type, door, source, via]),
      [
        ['opened', 'ssh', ALICE, 'knock'],
        ['opened', 'ssh', MALLORY, 'knock'],
      ],
    );
  });
});
