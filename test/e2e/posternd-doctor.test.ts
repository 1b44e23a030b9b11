/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * What `postern doctor` says of a healthy host, and of one that is not; the host's firewall and the interface are in lockout-drill.test.ts.
 */

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Diagnosis } from '../../src/cli/diagnosis.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import type { Ended } from '../support/running.ts';

const skip = unavailable('nft');
const POSTERN = join(import.meta.dirname, '../../bin/postern');
const TOP = 'allow = ["192.0.2.7"]\n';

describe('postern doctor', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    server = topology.hosts.server;
    folder = mkdtempSync(join(tmpdir(), 'postern-doctor-'));
  });
  beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
  after(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const doctor = async (file: string, words: readonly string[] = ['--json'], env: NodeJS.ProcessEnv = {}) =>
    server.exec([process.execPath, POSTERN, '--config', file, 'doctor', ...words], {
      env: { SSH_CONNECTION: undefined, ...env },
      mayFail: true,
    });
  const diagnoses = async (file: string, env: NodeJS.ProcessEnv = {}): Promise<readonly Diagnosis[]> =>
    JSON.parse((await doctor(file, ['--json'], env)).stdout) as Diagnosis[];
  /** Whether somebody keeps the clock of the machine right is not the test's to say. */
  const isOurs = ({ check, message }: Diagnosis): boolean => check !== 'clock' || !message.startsWith('Nobody keeps');
  const complaints = async (file: string, env: NodeJS.ProcessEnv = {}): Promise<readonly string[]> =>
    (await diagnoses(file, env))
      .filter((each) => each.status !== 'ok' && isOurs(each))
      .map(({ check, status, message, hint }) => {
        assert.notEqual(hint ?? '', '', message);
        return `${status} ${check}: ${message}`;
      });
  const configOf = (daemon: Posternd): string => join(daemon.folder, 'postern.toml');
  const secret = (daemon: Posternd): void => chmodSync(configOf(daemon), 0o600);

  test('of a healthy host it has nothing to complain of, and says what it looked at', async () => {
    await using daemon = await startPosternd(server, { doors: `${sshDoor('30s')}[tarpit]\n`, top: TOP });
    secret(daemon);
    assert.deepEqual(await complaints(configOf(daemon)), []);
    const { status, stdout, stderr } = await doctor(configOf(daemon), []);
    assert.deepEqual([status, stderr], [0, '']);
    for (const check of ['configuration', 'secrets', 'firewall', 'interface', 'kernel', 'daemon', 'cage', 'way in']) {
      assert.match(stdout, new RegExp(`^ok +${check} `, 'm'));
    }
    for (const who of ['watcher', 'tarpit'])
      assert.match(
        stdout,
        new RegExp(`^ok +cage +the ${who} is shut in: user \\d+, .*seccomp, no_new_privs, no capability, limits$`, 'm'),
      );
    assert.match(stdout, /^ok +cage +the keeper holds CAP_NET_ADMIN, CAP_NET_RAW$/m);
    assert.match(stdout, /^ok +firewall +nftables: the guard stands, over IPv4 and IPv6, with every door of it$/m);
  });

  test('a step that somebody hears, rules that lead past the door, and a guard that is not as it should be', async () => {
    const daemon = await startPosternd(server, { doors: sshDoor('30s'), top: TOP });
    secret(daemon);
    const bind = "require('dgram').createSocket('udp4').bind(8000, () => console.log('up'))";
    const resolver = server.spawn([process.execPath, '-e', bind]);
    await resolver.waitForLine(/^up$/);
    await server.exec(['nft', '-f', '-'], {
      input: 'table ip own { chain pre { type nat hook prerouting priority -199; tcp dport 2222 redirect to :22; }; }',
    });
    const [heard = '', led = '', ...rest] = await complaints(configOf(daemon));
    assert.match(heard, /^warning configuration: .*udp\/8000.* is a port that somebody listens on/);
    assert.match(led, /^broken firewall: tcp\/2222 leads to tcp\/22 of door "ssh" by this host's own rules: who /);
    assert.deepEqual(rest, []);
    await resolver.stop('SIGKILL');
    await server.exec(['nft', 'delete', 'table', 'ip', 'own']);

    // Else it puts back what it has lost.
    await daemon.running.stop('SIGKILL');
    const firewall = async (): Promise<readonly string[]> =>
      (await complaints(configOf(daemon))).filter((line) => !line.includes(' daemon: '));
    await server.exec(['nft', 'delete', 'element', 'inet', 'postern', 'ports_tcp6', '{ 22 }']);
    assert.deepEqual(await firewall(), [
      'broken firewall: tcp/22 of door "ssh" is open to everybody over IPv6 while IPv4 is guarded',
    ]);
    await server.exec(['nft', 'delete', 'table', 'inet', 'postern']);
    assert.deepEqual(await firewall(), [
      'broken firewall: The guard is not in the kernel: every door is open to everybody',
    ]);
    rmSync(daemon.folder, { recursive: true, force: true });
  });

  for (const driver of ['nftables', 'iptables']) {
    const missing = unavailable(...(driver === 'iptables' ? ['iptables-restore', 'ipset'] : []));
    test(`${driver}: a host that drops what it refused when the guard was made, until a reload`, {
      skip: missing,
    }, async () => {
      const input = (policy: string, rule: string): Promise<Ended> =>
        server.exec(['nft', '-f', '-'], {
          input: `table inet own\ndelete table inet own
table inet own { chain input { type filter hook input priority 0; policy ${policy}; tcp dport 22 ${rule}; }; }\n`,
        });
      // What is wrong is looked at again sooner.
      await input('accept', 'drop');
      const doors = `[firewall]\ndriver = "${driver}"\n${sshDoor('30s')}`;
      await using daemon = await startPosternd(server, { doors, top: TOP });
      secret(daemon);
      const warnings = async () => (await daemon.ask((asked) => asked.status())).warnings;
      assert.deepEqual(
        (await warnings()).map((text) => /^Port tcp\/22 .* refuses a granted client/.test(text)),
        [true],
      );
      await input('drop', 'accept');
      const stale = `What this host answers at unused ports is not what closed ports answer, so a scan sees which are guarded: \
over IPv4 a SYN gets nothing at unused ports, a reset at closed ones`;
      const told = `${stale}\nhint: postern reload`;
      const deadline = performance.now() + 15_000;
      while ((await warnings()).join() !== told) {
        assert.ok(performance.now() < deadline, (await warnings()).join());
        await sleep(200);
      }
      const shown = await server.exec([process.execPath, POSTERN, '--config', configOf(daemon), 'status']);
      assert.ok(shown.stdout.includes(`warning: ${told}\n`), shown.stdout);
      assert.deepEqual(await complaints(configOf(daemon)), [`warning daemon: ${stale}`]);
      await daemon.ask((asked) => asked.reload());
      assert.deepEqual(await warnings(), []);
      assert.deepEqual(await complaints(configOf(daemon)), []);
      assert.deepEqual(await warnings(), []);
    });
  }

  test('secrets that others can read, or change', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s'), top: TOP });
    chmodSync(configOf(daemon), 0o644);
    assert.deepEqual(
      (await complaints(configOf(daemon))).map((line) => line.replace(daemon.folder, 'FOLDER')),
      ['warning secrets: Others can read FOLDER/postern.toml, and with it the knocks'],
    );
    chmodSync(configOf(daemon), 0o666);
    assert.match((await complaints(configOf(daemon))).join(), /broken secrets: Others can change/);
  });

  test('no second way in, a door without a knock, only observing, a file that was not applied, a clock that is behind', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s'), top: 'mode = "observe"\n' });
    daemon.write('[door.ssh]\nprotect = ["tcp/22"]\n', 'mode = "observe"\n');
    secret(daemon);
    const later = Date.now() / 1000 + 86_400;
    utimesSync(configOf(daemon), later, later);
    const said = (await complaints(configOf(daemon))).join('\n');
    for (const words of [
      /warning configuration: .*closes tcp\/22 and has no knock/,
      /warning daemon: .*has changed since it was put in force/,
      /warning daemon: It only observes/,
      /warning way in: Nobody can knock on ssh/,
      /warning way in: A knock is the only way in/,
      /broken clock: .* the clock is behind/,
    ]) {
      assert.match(said, words);
    }
  });

  test('no daemon, no configuration, a broken one', async () => {
    const file = join(folder, 'alone.toml');
    writeFileSync(file, `${TOP}[state]\ndir = "${folder}/state"\n${sshDoor('30s')}`, { mode: 0o600 });
    assert.match((await complaints(file)).join('\n'), /broken daemon: No daemon at/);
    assert.match((await complaints(join(folder, 'none.toml'))).join('\n'), /broken configuration: .*No such file/);
    writeFileSync(file, '[door.ssh]\nprotect = ["tcp/x"]\n');
    const { status, stdout } = await doctor(file, []);
    assert.equal(status, 1);
    assert.match(stdout, /^broken {3}configuration .*:2: /m);
    assert.match(stdout, /^warning {2}configuration .*doors, interfaces and ways in are not looked at/m);
    for (const check of ['kernel', 'firewall', 'secrets', 'daemon'])
      assert.match(stdout, new RegExp(`  ${check} `), check);
  });
});
