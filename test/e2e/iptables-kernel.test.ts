/**
 * What only iptables with ipset promises, with real packets, on both backends. The stage is that of `firewall-contract.ts`; the container is a
 * third host behind the server, reached by DNAT.
 *
 *     client eth0 10.77.1.2 ── 10.77.1.1 eth0 server eth1 10.77.2.1 ── 10.77.2.2 eth0 container
 */

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Grant } from '../../src/firewall/driver.ts';
import { openSetName } from '../../src/firewall/ipset.ts';
import { ALICE, ALICE_6, BOB, doorPolicy, guardOf, pause, source, UDP_PORT } from '../support/firewall-contract.ts';
import { type NamespaceStage, openNamespaceStage } from '../support/firewall-stage.ts';
import {
  comeBackAfter,
  guardContainer,
  REFUSED,
  refuseThenAdmit,
  reloadUnderFlood,
  timeInstallations,
} from '../support/kernel-scenes.ts';
import { unavailable } from '../support/netns.ts';

const RELOADS = 60;
const SSH = doorPolicy('ssh', ['tcp/22']);

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

    test('not one packet gets through while the guard is installed again and again', (t) =>
      reloadUnderFlood(stage, RELOADS, t));

    test('a guard that somebody flushed comes back with the sessions older than it, and no others', () =>
      comeBackAfter(stage, async () => {
        for (const version of [4, 6]) await rules(version, ['-t', 'mangle', '-F']);
      }));

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

    test('a client that was refused gets in after its knock, from the same port', () => refuseThenAdmit(stage));

    test("a container's published port is guarded, and its sessions end as the door says", async () => {
      const { container } = stage.hosts;
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
      let published: Promise<void> | undefined;
      await guardContainer(stage, () => (published ??= dnat()));
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

    test('installing two doors and a hundred', (t) => timeInstallations(stage, 5, t));
  });
}
