/**
 * What the drivers of this kernel's firewalls promise beyond the contract, whichever of them it is, with real packets on the stage of
 * `firewall-stage.ts`. What another firewall's rules say there is the caller's.
 */

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { DoorPolicy } from '../../src/core/policy.ts';
import { REFUSING } from '../../src/firewall/answers.ts';
import { ALICE, ALICE_6, BOB, doorPolicy, FAR_6, guardOf, source, UDP_PORT } from './firewall-contract.ts';
import type { NamespaceStage } from './firewall-stage.ts';
import { startPeer } from './peer.ts';
import { startSender } from './sender.ts';

/** What this host answers at unused ports: it refuses. */
export const REFUSED = { 4: REFUSING, 6: REFUSING };

const LONG = 600_000;

function open({ driver }: NamespaceStage, door: string, from: string): Promise<void> {
  return driver.open({ door, source: source(from), remaining: LONG, comment: '' });
}

function install({ driver }: NamespaceStage, doors: readonly DoorPolicy[]): Promise<boolean> {
  return driver.install(guardOf(doors));
}

/** Not one packet gets through while the guard is installed again and again. */
export async function reloadUnderFlood(stage: NamespaceStage, reloads: number, t: TestContext): Promise<void> {
  const { server, client } = stage.hosts;
  const guards = [
    guardOf([doorPolicy('ssh', ['tcp/22']), doorPolicy('range', ['tcp/8000-8010'])]),
    guardOf([doorPolicy('web', ['tcp/80']), doorPolicy('ssh', ['tcp/22'], 'kill')]),
  ];
  const counter =
    'table inet count { chain in { type filter hook prerouting priority -300; tcp sport 22 tcp flags & (syn | ack) == (syn | ack) counter; }; }';
  await client.exec(['nft', '-f', '-'], { input: `${counter}\n` });
  const answered = async (): Promise<number> => {
    const { stdout } = await client.exec(['nft', 'list', 'table', 'inet', 'count']);
    return Number(/counter packets (\d+)/.exec(stdout)![1]);
  };
  const flood = { destination: server.address4, firstSource: BOB, sources: 1, port: 22, rate: 10_000 };
  const sender = startSender(client);
  await sender.flood({ ...flood, count: 1000 });
  assert.ok((await answered()) > 900, 'the open port answers the flood');
  await stage.driver.install(guards[0]!);
  await open(stage, 'ssh', ALICE);
  const earlier = await answered();
  let over = false;
  let sent = 0;
  const flooding = (async () => {
    while (!over) sent += (await sender.flood({ ...flood, seconds: 1 })).sent;
  })();
  const started = performance.now();
  for (let reload = 1; reload <= reloads; reload += 1) await stage.driver.install(guards[reload % 2]!);
  const each = (performance.now() - started) / reloads;
  over = true;
  await flooding;
  assert.equal((await answered()) - earlier, 0);
  assert.equal(await stage.connect(ALICE, 22), 'connected', 'the grant outlived it all');
  assert.ok(sent > reloads, `${sent}`);
  t.diagnostic(`${reloads} reloads, ${each.toFixed(1)} ms each, under ${sent} SYNs`);
  await client.exec(['nft', 'flush', 'ruleset']);
}

/** A guard that somebody flushed comes back with the sessions older than it, and no others; `further` goes on with two of them. */
export async function comeBackAfter(
  stage: NamespaceStage,
  flush: () => Promise<void>,
  further: (older: Session, stalled: Session) => Promise<void> = async () => {},
): Promise<void> {
  const cut = [doorPolicy('ssh', ['tcp/22'], 'cut')];
  const older = await stage.begin(FAR_6, 22);
  await install(stage, cut);
  assert.equal(await older.says('older'), 'connected');
  await open(stage, 'ssh', ALICE);
  const stalled = await stage.begin(ALICE, 22);
  await stage.driver.close('ssh', source(ALICE));
  assert.equal(await stalled.says('closed'), 'silent');
  await flush();
  const meanwhile = await stage.begin(BOB, 22);
  await install(stage, cut);
  assert.deepEqual(
    [await older.says('older'), await stalled.says('closed'), await meanwhile.says('meanwhile')],
    ['connected', 'silent', 'silent'],
  );
  await further(older, stalled);
  for (const session of [older, stalled, meanwhile]) await session.end();
}

type Session = Awaited<ReturnType<NamespaceStage['begin']>>;

/**
 * A container's published port is guarded, and its sessions end as the door says. `publish` leads port 8080 of the server's own addresses to
 * port 80 of the container, before each time.
 */
export async function guardContainer(stage: NamespaceStage, publish: () => Promise<void>): Promise<void> {
  const { server, client, container } = stage.hosts;
  const forward = 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding';
  await server.exec(['sh', '-c', forward]);
  await client.exec(['ip', 'route', 'replace', '10.77.2.0/24', 'via', '10.77.1.1']);
  await client.exec(['ip', 'route', 'replace', 'fd77:0:0:2::/64', 'via', server.address6]);
  await container.exec(['ip', 'route', 'replace', 'default', 'via', '10.77.2.1']);
  await container.exec(['ip', 'route', 'replace', 'default', 'via', server.interfaces[1]!.address6]);
  const inside = startPeer(container);
  await inside.listen('tcp', 80);
  await inside.listen('tcp', 8080);
  const through = (from: string) => {
    const destination = from.includes(':') ? container.address6 : container.address4;
    return stage.client.connect({ source: from, destination, port: 8080 });
  };
  for (const close of ['keep', 'cut', 'kill'] as const) {
    for (const from of [ALICE, ALICE_6]) {
      await stage.driver.remove();
      await publish();
      const earlier = await stage.begin(from, 8080);
      assert.equal(await earlier.says('before'), 'connected');
      await install(stage, [doorPolicy('web', ['tcp/8080'], close)]);
      assert.equal(await earlier.says('after the installation'), 'connected', `${close} ${from}`);
      assert.equal(await stage.connect(from, 8080), 'silent');
      assert.equal(await through(from), 'connected', 'the port of a machine behind this one');
      await open(stage, 'web', from);
      const session = await stage.begin(from, 8080);
      assert.equal(await session.says('hello'), 'connected');
      await stage.driver.close('web', source(from));
      assert.equal(await stage.connect(from, 8080), 'silent');
      const end = { keep: 'connected', cut: 'silent', kill: 'refused' }[close];
      assert.equal(await session.says('closed'), end, `${close} ${from}`);
      await earlier.end();
      await session.end();
    }
  }
}

/** With face mirror, a client that was refused gets in after its knock, from the same port. */
export async function refuseThenAdmit(stage: NamespaceStage): Promise<void> {
  const doors = [doorPolicy('ssh', ['tcp/22']), doorPolicy('vpn', [`udp/${UDP_PORT}`])];
  await stage.driver.install(guardOf(doors, { face: 'mirror', closed: REFUSED }));
  const { address4 } = stage.hosts.server;
  const ask = () => stage.client.ask({ source: ALICE, sourcePort: 40_000, destination: address4, port: UDP_PORT });
  assert.deepEqual([await stage.connect(ALICE, 22), await ask()], ['refused', 'refused']);
  await open(stage, 'ssh', ALICE);
  await open(stage, 'vpn', ALICE);
  assert.deepEqual([await stage.connect(ALICE, 22), await ask()], ['connected', 'connected']);
}

/** How long an installation takes with two doors, and with a hundred: the median of so many. */
export async function timeInstallations(stage: NamespaceStage, runs: number, t: TestContext): Promise<void> {
  const figures: string[] = [];
  for (const count of [2, 100]) {
    const doors = Array.from({ length: count }, (_, index) => doorPolicy(`door-${index}`, [`tcp/${10_000 + index}`]));
    const times: number[] = [];
    for (let run = 0; run < runs; run += 1) {
      const started = performance.now();
      await install(stage, doors);
      times.push(performance.now() - started);
    }
    times.sort((x, y) => x - y);
    figures.push(`${count} doors: ${times[Math.floor(runs / 2)]!.toFixed(1)} ms`);
  }
  t.diagnostic(figures.join('; '));
}
