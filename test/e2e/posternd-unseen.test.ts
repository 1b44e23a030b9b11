/**
 *     alice   10.77.1.2         ┐
 *     mallory 10.77.1.3         ├─ eth0 10.77.1.1 server: tcp 22, 80, udp 5000 (echo)
 *
 * What is no connection and still gives its sender away: probes with odd flags, ACKs of no session, datagrams to a protected port. Each is an event
 * with its source; who has a grant or a session causes none.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, unavailable } from '../support/netns.ts';
import { startPeer } from '../support/peer.ts';
import { KNOCK, startPosternd } from '../support/posternd-host.ts';
import { startSender } from '../support/sender.ts';

const ALICE = '10.77.1.2';
const MALLORY = '10.77.1.3';
const SERVER = '10.77.1.1';
/** The firewall is asked every five seconds. */
const TOLD_WITHIN = 15_000;

const doors = (driver: string): string => `[firewall]
driver = "${driver}"
[door.ssh]
protect = ["tcp/22", "udp/5000"]
open_for = "30s"
[door.ssh.knock]
steps = ["tcp/7000", "udp/8000", "tcp/9000"]
within = "5s"
`;

const DRIVERS = {
  nftables: unavailable('nft'),
  iptables: unavailable('nft', 'ipset', 'iptables', 'ip6tables'),
};

describe('what is no connection', { concurrency: true }, () => {
  for (const [driver, skip] of Object.entries(DRIVERS)) {
    test(`is told of, by its source, with ${driver}; grants and sessions are left alone`, { skip }, async () => {
      await using topology = await createTopology({ links: [['server', 'client']] });
      const { server, client } = topology.hosts;
      await client.exec(['ip', 'address', 'add', `${MALLORY}/24`, 'dev', 'eth0']);
      const echo = startPeer(server);
      for (const port of [22, 80]) await echo.listen('tcp', port);
      await echo.listen('udp', 5000);
      const peer = startPeer(client);
      const sender = startSender(client);
      const from = (source: string, packets: string) =>
        sender.send(`src=${source} dst=${source.includes(':') ? 'fd77::1' : SERVER}: ${packets}`);
      await using daemon = await startPosternd(server, { doors: doors(driver), top: 'trap = ["tcp/23"]\n' });
      const events = async (source: string): Promise<readonly string[]> =>
        (await daemon.history())
          .filter((each) => each.source === source)
          .map(({ type, reason, detail }) => [type, reason, detail].filter(Boolean).join(' '));
      const told = async (source: string, ...wanted: readonly string[]): Promise<void> => {
        const deadline = performance.now() + TOLD_WITHIN;
        for (;;) {
          const seen = await events(source);
          if (wanted.every((event) => seen.includes(event))) return;
          assert.ok(performance.now() < deadline, `${source}: ${wanted.join()} is not in ${seen.join()}`);
          await sleep(50);
        }
      };

      // Alice comes in, and goes on behind her grant's end: an echo of each protocol.
      await from(ALICE, KNOCK);
      await daemon.running.waitForLine(/^ssh: opened for 10\.77\.1\.2/);
      const session = await peer.begin({ source: ALICE, destination: SERVER, port: 22 });
      const ask = () => peer.ask({ source: ALICE, destination: SERVER, port: 5000, sourcePort: 40_000 });
      assert.equal(await ask(), 'connected');
      await sleep(800); // The watcher tells of her SYN half a second later: while she has the grant.
      await daemon.ask((control) => control.close('ssh'));
      assert.deepEqual([await session.says('on'), await ask()], ['connected', 'connected']);

      for (const [port, source, probe] of [
        [22, '10.77.1.10', 'F'],
        [22, '10.77.1.11', 'N'],
        [22, '10.77.1.12', 'FPU'],
        [22, '10.77.1.13', 'A'],
        [22, '10.77.1.14', 'FA'],
        [23, '10.77.1.15', 'F'],
        [23, '10.77.1.16', 'A'],
        [23, '10.77.1.17', 'FA'],
      ] as const) {
        await from(source, `${port}/${probe}`);
      }
      await from(MALLORY, 'u5000 80/A 80/FA 9999/A');
      await from('fd77::9', 'u5000');
      await Promise.all([
        ...[10, 11, 12, 13, 14].map((host) => told(`10.77.1.${host}`, 'refused no grant tcp/22')),
        ...[15, 16, 17].map((host) => told(`10.77.1.${host}`, 'trapped tcp/23')),
        told(MALLORY, 'refused no grant udp/5000'),
      ]);
      assert.deepEqual(await events(MALLORY), ['refused no grant udp/5000']);
      await told('fd77::', 'refused no grant udp/5000');

      // More of the same within the minute is the same try; what Alice did was none.
      await from(MALLORY, 'u5000 u5000 u5000');
      assert.deepEqual([await session.says('on'), await ask()], ['connected', 'connected']);
      await sleep(5500);
      assert.equal((await events(MALLORY)).length, 1);
      assert.deepEqual(
        (await events(ALICE)).filter((event) => event.startsWith('refused')),
        [],
      );
      const listed = (await daemon.ask((control) => control.attackers(100))).map(({ source }) => source);
      assert.deepEqual([listed.includes(MALLORY), listed.includes(ALICE)], [true, false]);
      await session.end();
    });
  }
});
