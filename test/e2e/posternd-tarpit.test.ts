/**
 *     alice   10.77.1.2 fd77::2 ┐
 *     mallory 10.77.1.3 fd78::2 ├─ eth0 10.77.1.1 server eth1 ── 10.77.2.2 container
 *
 * Banned sources before a daemon with a tarpit: they are held, whatever port they ask for, and nobody else meets it. The container has a service at
 * the number of the tarpit's port, and is reached by port 8080 of the server or, by route, at its own address.
 */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { TarpitStatus } from '../../src/control/controlled.ts';
import { eventually } from '../support/eventually.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Outcome, type Peer, type Session, startPeer } from '../support/peer.ts';
import { KNOCK, type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { findProgram } from '../support/running.ts';
import { startSender } from '../support/sender.ts';

const ALICE = '10.77.1.2';
const ALICE_6 = 'fd77::2';
const MALLORY = '10.77.1.3';
const MALLORY_6 = 'fd78::2';
const PIT = 22_022;
const CONTAINER = '10.77.2.2';
const TO_CONTAINER = {
  nftables: [
    'nft',
    `table ip nat { chain pre { type nat hook prerouting priority dstnat; tcp dport 8080 dnat to ${CONTAINER}:${PIT}; }; }`,
  ],
  iptables: [
    'iptables',
    '-t',
    'nat',
    '-A',
    'PREROUTING',
    '-p',
    'tcp',
    '--dport',
    '8080',
    '-j',
    'DNAT',
    '--to',
    `${CONTAINER}:${PIT}`,
  ],
} as const;
/** Every line of the tarpit ends so. */
const LINE = '\r\n';
const LINES_COME = 3000;
const TARPIT = '[tarpit]\nevery = "100ms"\nconnections = 3\nper_source = 2\n';

/** What differs between the two: the face of a closed port is one of both. */
const DRIVERS = [
  { driver: 'nftables', face: 'reset', closed: 'refused', programs: ['nft', 'conntrack'] },
  { driver: 'iptables', face: 'drop', closed: 'silent', programs: ['nft', 'iptables', 'ipset', 'conntrack'] },
] as const;

for (const { driver, face, closed, programs } of DRIVERS) {
  describe(`a tarpit with ${driver}`, { skip: unavailable(...programs) }, () => {
    let topology: Topology<'server' | 'client' | 'container'>;
    let server: Host;
    let client: Host;
    let peer: Peer;

    before(async () => {
      topology = await createTopology({
        links: [
          ['server', 'client'],
          ['server', 'container'],
        ],
      });
      ({ server, client } = topology.hosts);
      const { container } = topology.hosts;
      await server.exec(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
      await container.exec(['ip', 'route', 'add', 'default', 'via', '10.77.2.1']);
      await client.exec(['ip', 'route', 'add', '10.77.2.0/24', 'via', '10.77.1.1']);
      await startPeer(container).listen('tcp', PIT);
      await client.exec(['ip', 'address', 'add', `${MALLORY}/24`, 'dev', 'eth0']);
      await client.exec(['ip', 'address', 'add', `${MALLORY_6}/64`, 'nodad', 'dev', 'eth0']);
      await server.exec(['ip', 'route', 'add', 'fd78::/64', 'via', client.address6]);
      const echo = startPeer(server);
      for (const port of [22, 80]) await echo.listen('tcp', port);
      await echo.listen('udp', 5353);
      peer = startPeer(client);
    });
    beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
    after(() => topology?.close());

    const doors = (rest = ''): string => `${sshDoor('30s')}[firewall]\ndriver = "${driver}"\nface = "${face}"\n${rest}`;
    const target = (source: string, port: number) => ({
      source,
      destination: source.includes(':') ? server.address6 : server.address4,
      port,
    });
    const connect = (source: string, port: number): Promise<Outcome> => peer.connect(target(source, port));
    const begin = (source: string, port: number): Promise<Session> => peer.begin(target(source, port));
    /** Held: lines come. */
    const held = async (source: string, port: number): Promise<Session> => {
      const session = await begin(source, port);
      assert.equal(await session.says(LINE, LINES_COME), 'connected', `${source} gets no line from port ${port}`);
      return session;
    };
    const echoed = async (source: string, port: number): Promise<Outcome> => {
      const session = await begin(source, port);
      const outcome = await session.says('an echo');
      await session.end();
      return outcome;
    };
    const pit = (daemon: Posternd): Promise<TarpitStatus> =>
      daemon.ask(async (control) => {
        const { tarpit } = await control.status();
        assert.ok(tarpit, 'no tarpit');
        return tarpit;
      });
    const ban = async (daemon: Posternd): Promise<void> => {
      for (const source of [MALLORY, MALLORY_6]) await daemon.ask((control) => control.ban(source, '5m'));
    };

    const reload = async (daemon: Posternd, rest: string, top = ''): Promise<void> => {
      daemon.write(doors(rest), top);
      await daemon.ask((control) => control.reload());
    };

    test('holds who is banned, at any port and of either family, within its bounds; nobody else sees it', async () => {
      await using daemon = await startPosternd(server, { doors: doors(TARPIT) });
      await server.exec(TO_CONTAINER[driver]);
      const routed = { source: MALLORY, destination: CONTAINER, port: PIT };
      const old = [await begin(MALLORY, 80), await begin(MALLORY, 8080), await peer.begin(routed)];
      for (const session of old) assert.equal(await session.says('hello'), 'connected');
      for (const port of [22, PIT]) assert.equal(await connect(MALLORY, port), closed, `${port}`);
      await ban(daemon);

      const first = await held(MALLORY, 22);
      await held(MALLORY, 8080);
      const other = await held(MALLORY_6, 80);
      assert.equal(await other.says('an echo'), 'silent', 'it is no service');
      for (const session of old) assert.equal(await session.says('still here'), 'silent');
      assert.deepEqual([await peer.connect(routed), await peer.ask(target(MALLORY, 5353))], ['silent', 'silent']);
      for (const source of [ALICE, ALICE_6]) {
        assert.deepEqual([await connect(source, 22), await connect(source, PIT)], [closed, closed], source);
        assert.deepEqual([await echoed(source, 80), await peer.ask(target(source, 5353))], ['connected', 'connected']);
      }

      assert.equal(await echoed(ALICE, 8080), 'connected');
      assert.equal(await peer.connect({ ...routed, source: ALICE }), 'connected');

      // All three places are taken: the kernel takes who comes now, and he gets nothing until one of the others goes.
      const waiting = await begin(MALLORY_6, 22);
      assert.equal(await waiting.says(LINE), 'silent');
      const { held: now, total } = await eventually(
        () => pit(daemon),
        (status) => status.total === 3,
      );
      assert.deepEqual([now, total], [3, 3]);
      await first.end();
      assert.equal(await waiting.says(LINE, LINES_COME), 'connected');
      // Who is held has no session that would keep him from being banned again.
      await ban(daemon);
      await other.end();
      await eventually(
        () => pit(daemon),
        (status) => status.held === 2,
      );
      // A place is free, and one more of his: but not two.
      await held(MALLORY_6, 22);
      await waiting.end();
      await reload(daemon, '');
      assert.deepEqual([await connect(MALLORY, 80), await connect(MALLORY_6, 22)], ['silent', 'silent']);
      assert.equal(await connect(ALICE, PIT), 'refused', 'a port like all others');
    });

    if (driver !== 'nftables') return;

    test('goes on after its process was killed, and doors do not notice', async () => {
      await using daemon = await startPosternd(server, {
        doors: doors(TARPIT.replace('per_source = 2', 'per_source = 1')),
      });
      await ban(daemon);
      const session = await held(MALLORY, 22);
      // One too many is reset, at once.
      const second = await begin(MALLORY, 22).catch(() => undefined);
      if (second !== undefined) assert.equal(await second.says(LINE, LINES_COME), 'refused');
      const { pid = 0, confinement } = await eventually(
        () => pit(daemon),
        (status) => status.turned_away === 1,
      );
      assert.match(confinement, /^user \d+, .*seccomp$/);
      const watcher = daemon.watcher();
      const [own, others] = [threads(pid), threads(watcher)];
      for (const { Name = '', Uid, CapPrm, NoNewPrivs, Seccomp } of own) {
        assert.deepEqual([CapPrm, NoNewPrivs, Seccomp], ['0'.repeat(16), '1', '2'], Name);
        assert.ok(Uid !== undefined && Uid !== others[0]?.Uid, 'its user is nobody else');
      }
      process.kill(pid, 'SIGKILL');
      await daemon.running.waitForLine(/the tarpit was killed by SIGKILL, another is started/);
      assert.equal(await session.says('gone?', LINES_COME), 'refused');
      await (await held(MALLORY, 22)).end();
      assert.equal(daemon.watcher(), watcher);
      const seen = await eventually(
        () => pit(daemon),
        (status) => status.total === 2,
      );
      assert.deepEqual([seen.restarts, seen.total, seen.turned_away], [1, 2, 1]);
      await startSender(client).send(`src=${ALICE} dst=10.77.1.1: ${KNOCK}`);
      const opened = await eventually(
        () => connect(ALICE, 22),
        (outcome) => outcome === 'connected',
      );
      assert.equal(opened, 'connected');

      // Who is allowed for a while is allowed, banned or not.
      await daemon.ask((control) => control.allow(MALLORY, '1m'));
      assert.deepEqual([await echoed(MALLORY, 22), await echoed(MALLORY, 80)], ['connected', 'connected']);
      await daemon.ask((control) => control.disallow(MALLORY));
      await (await held(MALLORY, 80)).end();
      await daemon.ask((control) => control.unban(MALLORY));
      assert.equal(await echoed(MALLORY, 80), 'connected');

      if (findProgram('ssh') === undefined) return;
      await daemon.ask((control) => control.unban(MALLORY_6));
      await daemon.ask((control) => control.close('ssh'));
      await daemon.ask((control) => control.ban(ALICE, '1m'));
      const ssh = client.spawn(['ssh', '-v', '-F', 'none', '-b', ALICE, '-o', 'BatchMode=yes', server.address4]);
      for (const line of [0, 2]) await ssh.waitForLine(new RegExp(`banner line ${line}: [a-z0-9]+\r?$`));
      await ssh.stop('SIGKILL');
    });

    test('comes and goes with the configuration, is put back with the guard, and takes no port that is in use', async () => {
      await startPeer(server).listen('tcp', 2022);
      await using daemon = await startPosternd(server, { doors: doors() });
      await ban(daemon);
      assert.equal(await connect(MALLORY, 80), 'silent');
      await reload(daemon, TARPIT);
      await (await held(MALLORY, 80)).end();
      await reload(daemon, TARPIT.replace('[tarpit]', '[tarpit]\nport = 2222'));
      await server.exec(['nft', 'flush', 'ruleset']);
      await daemon.running.waitForLine(/guard had been removed/);
      await (await held(MALLORY, 80)).end();
      await reload(daemon, TARPIT, 'mode = "observe"');
      assert.deepEqual([await echoed(MALLORY, 80), await connect(ALICE, PIT)], ['connected', 'refused']);

      await reload(daemon, TARPIT.replace('[tarpit]', '[tarpit]\nport = 2022'));
      await daemon.running.waitForLine(/Cannot listen on tcp\/2022 for the tarpit, banned sources are dropped/);
      assert.deepEqual([await connect(MALLORY, 80), await connect(MALLORY, 2022)], ['silent', 'silent']);
      assert.equal(await echoed(ALICE, 2022), 'connected');
      const { tarpit, warnings } = await daemon.ask((control) => control.status());
      assert.equal(tarpit, undefined);
      assert.ok(warnings.some((text) => text.startsWith('Cannot listen on tcp/2022')));

      await reload(daemon, TARPIT);
      await (await held(MALLORY, 80)).end();
      await daemon.stop();
      assert.equal(await connect(MALLORY, 80), 'silent', 'a ban outlives the daemon, and drops again');
    });
  });
}

/** What /proc says of every thread of a process. */
function threads(pid: number): readonly Readonly<Record<string, string>>[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1');
    return Object.fromEntries([...text.matchAll(/^(\w+):\t?(.*)$/gm)].map((field) => [field[1]!, field[2]!]));
  });
}
