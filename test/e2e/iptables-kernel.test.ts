/**
 * What only iptables with ipset promises, with real packets, on both backends. The stage is that of `firewall-contract.ts`; the container is a
 * third host behind the server, reached by DNAT.
 *
 *     client eth0 10.77.1.2 ── 10.77.1.1 eth0 server eth1 10.77.2.1 ── 10.77.2.2 eth0 container
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { REFUSING } from '../../src/firewall/answers.ts';
import type { Grant } from '../../src/firewall/driver.ts';
import { openSetName } from '../../src/firewall/ipset.ts';
import {
  ALICE,
  ALICE_6,
  BOB,
  doorPolicy,
  FAR_6,
  guardOf,
  pause,
  source,
  UDP_PORT,
} from '../support/firewall-contract.ts';
import { type NamespaceStage, openNamespaceStage } from '../support/firewall-stage.ts';
import { unavailable } from '../support/netns.ts';
import { startPeer } from '../support/peer.ts';
import { startSender } from '../support/sender.ts';

const RELOADS = 60;
const SSH = doorPolicy('ssh', ['tcp/22']);
const REFUSED = { 4: REFUSING, 6: REFUSING };

for (const backend of ['nft', 'legacy'] as const) {
  const skip = unavailable('nft', 'ipset', 'ss', `iptables-${backend}-restore`, `ip6tables-${backend}-restore`);
  describe(`iptables-${backend}, beyond the contract`, { skip }, () => {
    let stage: NamespaceStage;
    before(async () => {
      stage = await openNamespaceStage(`iptables-${backend}`);
    });
    beforeEach(async () => {
      await stage.driver.remove();
      for (const table of ['mangle', 'nat', 'filter'])
        for (const version of [4, 6]) await rules(version, ['-t', table, '-F']);
    });
    after(() => stage?.close());

    const rules = async (version: number, words: readonly string[]): Promise<void> => {
      await stage.hosts.server.exec([`ip${version === 6 ? '6' : ''}tables-${backend}`, ...words]);
    };
    const install = (...args: Parameters<typeof guardOf>): Promise<boolean> => stage.driver.install(guardOf(...args));
    const open = (door: string, from: string, remaining = 60_000): Promise<void> =>
      stage.driver.open({ door, source: source(from), remaining, comment: '' });

    test('not one packet gets through while the guard is installed again and again', async (t) => {
      const { server, client } = stage.hosts;
      const guards = [
        guardOf([SSH, doorPolicy('range', ['tcp/8000-8010'])]),
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
      await open('ssh', ALICE, 3_600_000);
      const earlier = await answered();
      let over = false;
      let sent = 0;
      const flooding = (async () => {
        while (!over) sent += (await sender.flood({ ...flood, seconds: 1 })).sent;
      })();
      const started = performance.now();
      for (let reload = 1; reload <= RELOADS; reload += 1) await stage.driver.install(guards[reload % 2]!);
      const each = (performance.now() - started) / RELOADS;
      over = true;
      await flooding;
      assert.equal((await answered()) - earlier, 0);
      assert.equal(await stage.connect(ALICE, 22), 'connected', 'the grant outlived it all');
      assert.ok(sent > RELOADS, `${sent}`);
      t.diagnostic(`${RELOADS} reloads, ${each.toFixed(1)} ms each, under ${sent} SYNs`);
      await client.exec(['nft', 'flush', 'ruleset']);
    });

    test('a guard that somebody flushed comes back with the sessions older than it, and no others', async () => {
      const cut = [doorPolicy('ssh', ['tcp/22'], 'cut')];
      const older = await stage.begin(FAR_6, 22);
      await install(cut);
      assert.equal(await older.says('older'), 'connected');
      await open('ssh', ALICE);
      const stalled = await stage.begin(ALICE, 22);
      await stage.driver.close('ssh', source(ALICE));
      assert.equal(await stalled.says('closed'), 'silent');
      for (const version of [4, 6]) await rules(version, ['-t', 'mangle', '-F']);
      const meanwhile = await stage.begin(BOB, 22);
      await install(cut);
      assert.deepEqual(
        [await older.says('older'), await stalled.says('closed'), await meanwhile.says('meanwhile')],
        ['connected', 'silent', 'silent'],
      );
      for (const session of [older, stalled, meanwhile]) await session.end();
    });

    test('what somebody else does to the guard is noticed, what we do is not', async (t) => {
      const losses = stage.firewall.losses();
      const lost = (): number => stage.firewall.losses() - losses;
      await install([SSH]);
      await stage.firewall.give({ do: 'watch' });
      await open('ssh', ALICE);
      await stage.driver.close('ssh', source(ALICE));
      await install([SSH, doorPolicy('web', ['tcp/80'], 'cut')]);
      await rules(4, ['-t', 'filter', '-A', 'INPUT', '-p', 'tcp', '--dport', '99', '-j', 'ACCEPT']);
      await rules(4, ['-t', 'mangle', '-A', 'PREROUTING', '-j', 'MARK', '--set-mark', '1']);
      await pause(1000);
      assert.equal(lost(), 0);
      const harms: [4 | 6, ...string[]][] = [
        [4, '-F', 'PREROUTING'],
        [6, '-F', 'PREROUTING'],
        [4, '-F'],
        [4, '-I', 'PREROUTING', '-j', 'ACCEPT'],
        [4, '-F', 'POSTERN'],
        [6, '-I', 'POSTERN-tcp-22', '-j', 'RETURN'],
      ];
      const waited: number[] = [];
      for (const [index, [version, ...words]] of harms.entries()) {
        const started = performance.now();
        await rules(version, ['-t', 'mangle', ...words]);
        while (lost() === index && performance.now() - started < 10_000) await pause(5);
        waited.push(performance.now() - started);
        assert.equal(lost(), index + 1, words.join(' '));
        await install([SSH]);
        assert.deepEqual([await stage.connect(ALICE, 22), await stage.connect(ALICE_6, 22)], ['silent', 'silent']);
        assert.equal(lost(), index + 1, words.join(' '));
        if (index === 2) await pause(3000);
      }
      t.diagnostic(`noticed after ${waited.map((time) => time.toFixed(0)).join(', ')} ms`);
    });

    test('accepting rules of others let nothing in, whatever a closed port looks like', async () => {
      for (const face of ['drop', 'reset', 'mirror'] as const) {
        await stage.driver.remove();
        await install([SSH, doorPolicy('vpn', [`udp/${UDP_PORT}`])], { face, closed: REFUSED });
        for (const version of [4, 6]) {
          await rules(version, ['-t', 'filter', '-I', 'INPUT', '-j', 'ACCEPT']);
          await rules(version, ['-t', 'mangle', '-A', 'PREROUTING', '-j', 'CONNMARK', '--restore-mark']);
          await rules(version, ['-t', 'mangle', '-A', 'PREROUTING', '-j', 'ACCEPT']);
        }
        for (const from of [BOB, ALICE_6]) {
          assert.notEqual(await stage.connect(from, 22), 'connected', `${face} ${from}`);
          assert.notEqual(await stage.ask(from, UDP_PORT), 'connected', `${face} ${from}`);
        }
        await open('ssh', BOB);
        assert.equal(await stage.connect(BOB, 22), 'connected', face);
      }
    });

    test('a closed port looks as it was asked for', async () => {
      const looks = async (): Promise<unknown[]> => [
        await stage.connect(BOB, 22),
        await stage.connect(ALICE_6, 22),
        await stage.ask(BOB, UDP_PORT),
        await stage.ask(ALICE_6, UDP_PORT),
      ];
      const doors = [SSH, doorPolicy('vpn', [`udp/${UDP_PORT}`])];
      const [quiet, refused] = ['silent', 'refused'];
      await install(doors, { face: 'drop' });
      assert.deepEqual(await looks(), [quiet, quiet, quiet, quiet]);
      await install(doors, { face: 'reset' });
      assert.deepEqual(await looks(), [refused, refused, refused, refused]);
      await install(doors, { face: 'mirror', closed: REFUSED });
      assert.deepEqual(await looks(), [refused, refused, refused, refused]);
      await rules(4, ['-A', 'INPUT', '-p', 'tcp', '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'DROP']);
      await install(doors, { face: 'mirror' });
      assert.deepEqual(await looks(), [quiet, refused, quiet, quiet]);
      await install(doors, { face: 'drop' });
      assert.deepEqual(await looks(), [quiet, quiet, quiet, quiet]);
    });

    test('a client that was refused gets in after its knock, from the same port', async () => {
      await install([SSH, doorPolicy('vpn', [`udp/${UDP_PORT}`])], { face: 'mirror', closed: REFUSED });
      const { address4 } = stage.hosts.server;
      const ask = () => stage.client.ask({ source: ALICE, sourcePort: 40_000, destination: address4, port: UDP_PORT });
      assert.deepEqual([await stage.connect(ALICE, 22), await ask()], ['refused', 'refused']);
      await open('ssh', ALICE);
      await open('vpn', ALICE);
      assert.deepEqual([await stage.connect(ALICE, 22), await ask()], ['connected', 'connected']);
    });

    test("a container's published port is guarded, and its sessions end as the door says", async () => {
      const { server, client, container } = stage.hosts;
      await client.exec(['ip', 'route', 'replace', '10.77.2.0/24', 'via', '10.77.1.1']);
      await client.exec(['ip', 'route', 'replace', 'fd77:0:0:2::/64', 'via', server.address6]);
      const forward = 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding';
      await server.exec(['sh', '-c', forward]);
      await container.exec(['ip', 'route', 'replace', 'default', 'via', '10.77.2.1']);
      await container.exec(['ip', 'route', 'replace', 'default', 'via', server.interfaces[1]!.address6]);
      const inside = startPeer(container);
      await inside.listen('tcp', 80);
      await inside.listen('tcp', 8080);
      const through = (from: string) => {
        const destination = from.includes(':') ? container.address6 : container.address4;
        return stage.client.connect({ source: from, destination, port: 8080 });
      };
      const dnat = async (): Promise<void> => {
        for (const [version, to] of [
          [4, '10.77.2.2:80'],
          [6, `[${container.address6}]:80`],
        ] as const) {
          const words = [
            '-p',
            'tcp',
            '--dport',
            '8080',
            '-m',
            'addrtype',
            '--dst-type',
            'LOCAL',
            '-j',
            'DNAT',
            '--to-destination',
            to,
          ];
          await rules(version, ['-t', 'nat', '-A', 'PREROUTING', ...words]);
        }
      };
      await dnat();
      for (const close of ['keep', 'cut', 'kill'] as const) {
        for (const from of [ALICE, ALICE_6]) {
          await stage.driver.remove();
          const earlier = await stage.begin(from, 8080);
          assert.equal(await earlier.says('before'), 'connected');
          await install([doorPolicy('web', ['tcp/8080'], close)]);
          assert.equal(await earlier.says('after the installation'), 'connected', `${close} ${from}`);
          assert.equal(await stage.connect(from, 8080), 'silent');
          assert.equal(await through(from), 'connected', 'the port of a machine behind this one');
          await open('web', from);
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
      await install([doorPolicy('web', ['tcp/8080'])], { face: 'reset' });
      assert.deepEqual([await stage.connect(ALICE, 8080), await stage.connect(ALICE_6, 8080)], ['refused', 'refused']);
    });

    test('grants outlive a change of the IPv6 prefix, as far as it covers them', async () => {
      await install([SSH], { ipv6Prefix: 128 });
      await open('ssh', ALICE_6);
      await install([SSH], { ipv6Prefix: 64 });
      assert.equal(await stage.connect(ALICE_6, 22), 'connected');
      await stage.driver.close('ssh', source(ALICE_6));
      assert.equal(await stage.connect(ALICE_6, 22), 'silent');
    });

    test('a door with the longest name opens, and is listed by it', async () => {
      const door = `a${'-long'.repeat(6)}x`;
      await install([doorPolicy(door, ['tcp/22'])]);
      await open(door, ALICE);
      assert.equal(await stage.connect(ALICE, 22), 'connected');
      assert.deepEqual(
        (await stage.driver.list()).grants.map((grant: Grant) => grant.door),
        [door],
      );
    });

    test('what an administrator put in by hand is listed, and closed like any other', async () => {
      await install([SSH]);
      await stage.hosts.server.exec(['ipset', 'add', openSetName('ssh', 4), ALICE, 'timeout', '0']);
      await stage.hosts.server.exec(['ipset', 'create', 'postern', 'hash:ip']);
      assert.equal(await stage.connect(ALICE, 22), 'connected');
      const { grants } = await stage.driver.list();
      assert.equal(grants.length, 1);
      await stage.driver.close('ssh', source(ALICE));
      assert.equal(await stage.connect(ALICE, 22), 'silent');
      await stage.hosts.server.exec(['ipset', 'destroy', 'postern']);
    });

    test('the preflight sees the host behind the guard, not the guard', async () => {
      for (const face of ['drop', 'reset'] as const) {
        await install([SSH], { face });
        assert.deepEqual(await stage.firewall.give({ do: 'probe' }), REFUSED);
        assert.deepEqual(await stage.firewall.give({ do: 'preflight', doors: [SSH] }), [], face);
      }
    });

    test('a refused installation leaves the old guard as it was', async () => {
      await install([SSH]);
      await open('ssh', ALICE);
      await assert.rejects(
        install([SSH, { ...doorPolicy('web', ['tcp/80']), openFor: 30 * 86_400_000 }]),
        /at most 24 days/,
      );
      assert.deepEqual([await stage.connect(ALICE, 22), await stage.connect(BOB, 22)], ['connected', 'silent']);
      await assert.rejects(open('ssh', BOB, 30 * 86_400_000), /at most 24 days/);
      assert.equal(await stage.connect(BOB, 22), 'silent');
    });

    test('a hundred thousand grants slow nothing down', async (t) => {
      const doors = [SSH, doorPolicy('web', ['tcp/80'])];
      await install(doors);
      const time = async () =>
        (await stage.firewall.give({ do: 'time', door: 'web', count: 300 })) as { median: number; p95: number };
      const figures: string[] = [];
      let filled = 0;
      await time();
      for (const count of [10, 1000, 100_000]) {
        const lines = Array.from({ length: count - filled }, (_, index) => {
          const number = filled + index;
          const address = `11.${number >> 16}.${(number >> 8) & 255}.${number & 255}`;
          return `add ${openSetName('ssh', 4)} ${address} timeout 3600 comment "user=fill"\n`;
        });
        await stage.hosts.server.exec(['ipset', 'restore', '-exist'], { input: lines.join('') });
        filled = count;
        const { median, p95 } = await time();
        figures.push(`${count} grants: open ${(median / 1000).toFixed(2)} ms, p95 ${(p95 / 1000).toFixed(2)} ms`);
      }
      const started = performance.now();
      const { grants } = (await stage.firewall.give({ do: 'list' })) as { grants: unknown[] };
      assert.ok(grants.length >= 100_000, `${grants.length}`);
      figures.push(`list ${(performance.now() - started).toFixed(0)} ms`);
      const again = performance.now();
      await install(doors);
      figures.push(`install again ${(performance.now() - again).toFixed(0)} ms`);
      t.diagnostic(figures.join('; '));
    });

    test('installing two doors and a hundred', async (t) => {
      const figures: string[] = [];
      for (const count of [2, 100]) {
        const doors = Array.from({ length: count }, (_, index) =>
          doorPolicy(`door-${index}`, [`tcp/${10_000 + index}`]),
        );
        const times: number[] = [];
        for (let turn = 0; turn < 5; turn += 1) {
          const started = performance.now();
          await install(doors);
          times.push(performance.now() - started);
        }
        times.sort((x, y) => x - y);
        figures.push(`${count} doors: ${times[2]!.toFixed(1)} ms`);
      }
      t.diagnostic(figures.join('; '));
    });
  });
}
