/**
 *     alice  10.77.1.2 fd77::2 ── 10.77.1.1 server 10.77.2.1 ── 10.77.2.2 container
 *
 * A ban is for what its source begins. Anybody can have alice banned with packets in her name: what the server (or who is behind it) has asked
 * her is answered all the same. The stage is that of `firewall-contract.ts`.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ALICE, ALICE_6, doorPolicy, guardOf, NEAR_6, source, UDP_PORT } from '../support/firewall-contract.ts';
import { type NamespaceStage, openNamespaceStage } from '../support/firewall-stage.ts';
import { unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';

const SSH = doorPolicy('ssh', ['tcp/22'], 'cut');
const SERVICE = 4053;
const NOBODYS = 4054;
const OWN_PORT = 40_123;
const PIT = 22_022;

const DRIVERS = {
  nftables: unavailable('nft', 'ss'),
  'iptables-nft': unavailable('nft', 'ipset', 'ss', 'iptables-nft-restore', 'ip6tables-nft-restore'),
};

for (const [name, skip] of Object.entries(DRIVERS)) {
  describe(`bans and our own connections, with ${name}`, { skip }, () => {
    let stage: NamespaceStage;
    let server: Peer;
    let container: Peer;
    before(async () => {
      stage = await openNamespaceStage(name);
      const { hosts, client } = stage;
      await hosts.server.exec(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
      await hosts.container.exec(['ip', 'route', 'add', 'default', 'via', '10.77.2.1']);
      await hosts.client.exec(['ip', 'route', 'add', '10.77.2.0/24', 'via', '10.77.1.1']);
      for (const protocol of ['tcp', 'udp'] as const) await client.listen(protocol, SERVICE);
      server = startPeer(hosts.server);
      container = startPeer(hosts.container);
    });
    after(() => stage?.close());

    for (const tarpit of [undefined, PIT]) {
      test(`${tarpit === undefined ? 'dropped' : 'in a tarpit'}: what the banned begin ends, what we begin does not`, async () => {
        await stage.driver.remove();
        await stage.driver.install(guardOf([SSH], tarpit === undefined ? {} : { tarpit }));
        const ask = (destination: string, sourcePort: number, port = SERVICE) =>
          server.ask({ destination, port, sourcePort });
        const begun = await stage.begin(ALICE, 80);
        const ours = await Promise.all(
          [ALICE, ALICE_6].map((destination) => server.begin({ destination, port: SERVICE })),
        );
        const routed = await container.begin({ destination: ALICE, port: SERVICE });
        for (const session of [begun, routed, ...ours]) assert.equal(await session.says('before'), 'connected');
        assert.equal(await ask(ALICE, OWN_PORT), 'connected');

        for (const from of [ALICE, ALICE_6]) await stage.driver.ban({ source: source(from), remaining: 60_000 });
        for (const session of [routed, ...ours]) assert.equal(await session.says('after'), 'connected');
        assert.equal(await ask(ALICE, OWN_PORT), 'connected', 'a UDP session goes on');
        for (const destination of [ALICE, ALICE_6]) {
          assert.equal(await server.connect({ destination, port: SERVICE }), 'connected', 'a new TCP one');
        }
        // The address of her network that her echo answers from.
        for (const destination of [ALICE, NEAR_6]) {
          assert.equal(await ask(destination, OWN_PORT + 1), 'connected', 'a new UDP one');
          assert.equal(await ask(destination, OWN_PORT + 2, NOBODYS), 'refused', 'an ICMP error about ours comes in');
        }
        assert.notEqual(await begun.says('after'), 'connected', 'what she has begun is cut');
        if (tarpit === undefined) assert.equal(await stage.connect(ALICE, 80), 'silent');
        assert.equal(await stage.ask(ALICE, UDP_PORT), 'silent');
        // Its own number, with the server's port as the sender: an answer only where there was a question.
        assert.equal(
          await stage.client.ask({ source: ALICE, destination: '10.77.1.1', port: 123, sourcePort: SERVICE + 2 }),
          'silent',
        );
        for (const session of [begun, routed, ...ours]) await session.end();
      });
    }
  });
}
