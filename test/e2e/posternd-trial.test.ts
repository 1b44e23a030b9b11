/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * From nothing to a hidden port and back: `init`, `apply`, `confirm`, and the rollback when nobody confirms. What leads back in when everything
 * goes wrong is for lockout-drill.test.ts.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import type { Ended, Running } from '../support/running.ts';

const skip = unavailable('nft');
const POSTERN = join(import.meta.dirname, '../../bin/postern');
const KNOCK = join(import.meta.dirname, '../../bin/knock');
const PATIENCE = 20_000;

describe('a configuration on trial', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let client: Host;
  let peer: Peer;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server, client } = topology.hosts);
    const echo = startPeer(server);
    for (const port of [22, 80]) await echo.listen('tcp', port);
    peer = startPeer(client);
  });
  beforeEach(async () => {
    await server.exec(['nft', 'flush', 'ruleset']);
    folder = mkdtempSync(join(tmpdir(), 'postern-trial-'));
  });
  afterEach(async () => {
    const pid = daemonPid();
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  after(() => topology?.close());

  const file = (): string => join(folder, 'etc/postern.toml');
  const reaches = async (port: number): Promise<boolean> =>
    (await peer.connect({ source: client.address4, destination: server.address4, port })) === 'connected';
  const argv = (words: readonly string[]): readonly [string, ...string[]] => [process.execPath, POSTERN, ...words];
  const postern = (words: readonly string[], env: Record<string, string> = {}): Promise<Ended> =>
    server.exec(argv(words), { env: { ...process.env, SSH_CONNECTION: undefined, ...env }, mayFail: true });
  const start = (words: readonly string[]): Running =>
    server.spawn(argv(words), { env: { ...process.env, SSH_CONNECTION: undefined } });
  const init = (more: readonly string[] = []): readonly string[] => [
    ...['init', '--yes', '--config', file(), '--state', join(folder, 'state'), '--interface', 'eth0'],
    ...['--protect', 'tcp/22', ...more],
  ];
  const apply = (within: string): readonly string[] => [
    '--config',
    file(),
    'apply',
    '--yes',
    '--confirm-within',
    within,
  ];
  const confirm = (env: Record<string, string> = {}): Promise<Ended> => postern(['--config', file(), 'confirm'], env);
  const daemonPid = (): number | undefined => {
    const lock = join(folder, 'state/state.lock');
    const pid = Number((existsSync(lock) ? readFileSync(lock, 'utf8') : '').split(' ')[0]);
    return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined;
  };
  /** The rollback that lies in wait. */
  const rollbackPid = (): number => {
    for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        const words = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
        if (words.includes('rollback') && words.includes(join(folder, 'state'))) return Number(entry);
      } catch {
        // It has ended.
      }
    }
    return assert.fail('there is no rollback');
  };
  /** The command that `init` has printed, on the client. */
  const knock = async (printed: string): Promise<void> => {
    const [, words = ''] = /^ {2}knock (.+)$/m.exec(printed) ?? [];
    assert.notEqual(words, '', printed);
    await client.exec([process.execPath, KNOCK, ...words.split(' ')]);
  };

  test('init writes a configuration of its own for root alone, and never over another', async () => {
    const written = await postern(init(['--no-apply', '--open-for', '1m']));
    assert.deepEqual([written.status, written.stderr], [0, '']);
    assert.equal(statSync(file()).mode & 0o777, 0o600);
    assert.match(written.stdout, /knock 10\.77\.1\.1 \d+/);
    assert.match(written.stdout, /█/, 'a QR code');
    const text = readFileSync(file(), 'utf8');
    assert.match(text, /open_for = "1m"/);
    assert.equal((await postern(['check', '--strict', file()])).status, 0);
    const again = await postern(init(['--no-apply']));
    assert.deepEqual([again.status, readFileSync(file(), 'utf8')], [1, text]);
    assert.match(again.stderr, /is there already/);
    assert.match((await postern(['init'])).stderr, /nobody to ask/);
    const json = JSON.parse(
      (await postern(['init', '--yes', '--json', '--no-apply', '--config', `${file()}2`])).stdout,
    );
    assert.ok(json.steps.length >= 5);
  });

  test('init that does not apply tells what the host’s own firewall would do to the door, as apply would', async () => {
    await server.exec([
      'nft',
      'add table inet host; add chain inet host in { type filter hook input priority 0; policy drop; }',
    ]);
    const { status, stderr } = await postern(init(['--no-apply']));
    assert.equal(status, 0);
    assert.match(
      stderr,
      /^warning: Port tcp\/22 of door "ssh": chain "in" .* refuses a granted client.*\nhint: nft insert rule/,
    );
  });

  test('init hides the port, the printed knock opens it, and the confirmation keeps it', async () => {
    const trial = start(init());
    await trial.waitForLine(/^In force for 60s/, PATIENCE);
    assert.equal(await reaches(22), false);
    await knock(trial.lines.join('\n'));
    assert.equal(await eventually(() => reaches(22)), true);
    const stranger = await confirm({ SSH_CONNECTION: '10.77.1.99 50123 10.77.1.1 22' });
    assert.deepEqual([stranger.status, /has not knocked/.test(stranger.stderr)], [1, true], stranger.stderr);
    const kept = await confirm({ SSH_CONNECTION: '10.77.1.2 50123 10.77.1.1 22' });
    assert.deepEqual([kept.status, kept.stderr], [0, '']);
    assert.equal((await trial.ended).status, 0);
    assert.match((await confirm()).stderr, /nothing to confirm/);
    assert.notEqual(daemonPid(), undefined);
  });

  test('without a confirmation an older configuration is back', async () => {
    assert.equal((await postern(init(['--no-apply']))).status, 0);
    const first = start(apply('60s'));
    await first.waitForLine(/^In force/, PATIENCE);
    assert.equal((await confirm()).status, 0);
    const old = readFileSync(file(), 'utf8');
    const wider = old.replace('"tcp/22"', '"tcp/22", "tcp/80"');
    writeFileSync(file(), wider, { mode: 0o600 });
    const trial = start(apply('4s'));
    await trial.waitForLine(/^In force/, PATIENCE);
    assert.ok(
      trial.lines.some((line) => line === '+ protect = ["tcp/22", "tcp/80"]'),
      trial.lines.join('\n'),
    );
    assert.deepEqual([await reaches(80), await reaches(22)], [false, false]);
    assert.equal((await trial.ended).status, 1);
    assert.deepEqual([await reaches(80), await reaches(22)], [true, false]);
    assert.deepEqual([readFileSync(file(), 'utf8'), readFileSync(`${file()}.rejected`, 'utf8')], [old, wider]);
  });

  test('a guard whose daemon was killed is what was in force: it is back, not gone', async () => {
    assert.equal((await postern(init(['--no-apply']))).status, 0);
    const first = start(apply('60s'));
    await first.waitForLine(/^In force/, PATIENCE);
    assert.equal((await confirm()).status, 0);
    process.kill(daemonPid()!, 'SIGKILL');
    const old = readFileSync(file(), 'utf8');
    writeFileSync(file(), old.replace('"tcp/22"', '"tcp/22", "tcp/80"'), { mode: 0o600 });
    const trial = start(apply('3s'));
    await trial.waitForLine(/^In force/, PATIENCE);
    assert.match((await postern(['--config', file(), 'doctor'])).stdout, /A change is on trial for another/);
    assert.equal((await trial.ended).status, 1);
    assert.deepEqual([await reaches(22), await reaches(80)], [false, true]);
    assert.equal(readFileSync(file(), 'utf8'), old);
  });

  test('a command that is interrupted says that the trial goes on, and no more', async () => {
    assert.equal((await postern(init(['--no-apply']))).status, 0);
    const trial = start(apply('30s'));
    await trial.waitForLine(/^In force/, PATIENCE);
    const { status, stdout, stderr } = await trial.stop('SIGTERM');
    assert.deepEqual([status, /goes on without this command/.test(stderr), /is back/.test(stdout)], [1, true, false]);
    assert.equal((await confirm()).status, 0);
    // A daemon that another configuration has lost from sight is not taken for none.
    const kept = readFileSync(file(), 'utf8');
    writeFileSync(file(), kept.replace(join(folder, 'state'), join(folder, 'elsewhere')), { mode: 0o600 });
    const lost = await postern(apply('30s'));
    assert.deepEqual(
      [lost.status, /listens at \S+state\/control\.sock, not where/.test(lost.stderr)],
      [1, true],
      lost.stderr,
    );
    assert.equal(existsSync(join(folder, 'elsewhere')), false);
  });

  test('a session from before the change cannot confirm; its peer is let in for a while', async () => {
    assert.equal((await postern(init(['--no-apply']))).status, 0);
    const session = await peer.begin({ source: client.address4, destination: server.address4, port: 22 });
    const { stdout } = await server.exec(['ss', '-Htn', 'state', 'established', 'sport', '=', ':22']);
    const [, port = ''] = /10\.77\.1\.2\]?:(\d+)/.exec(stdout) ?? [];
    assert.notEqual(port, '', stdout);
    const connection = { SSH_CONNECTION: `10.77.1.2 ${port} 10.77.1.1 22` };
    const trial = server.spawn(argv(apply('20s')), { env: { ...process.env, ...connection } });
    await trial.waitForLine(/^In force/, PATIENCE);
    const strange = await confirm({ SSH_CONNECTION: 'somewhere' });
    assert.equal(strange.status, 1, strange.stderr);
    const old = await confirm(connection);
    assert.deepEqual([old.status, /older than the change/.test(old.stderr)], [1, true], old.stderr);
    assert.equal(await session.says('still here'), 'connected');
    assert.equal(await reaches(22), true, 'who applies is let in');
    assert.equal((await confirm()).status, 0);
    assert.equal((await trial.ended).status, 0);
    await session.end();
  });

  test('what is in force already, or broken, changes nothing', async () => {
    assert.equal((await postern(init(['--no-apply']))).status, 0);
    const first = start(apply('60s'));
    await first.waitForLine(/^In force/, PATIENCE);
    assert.match((await postern(apply('5s'))).stderr, /Another change waits/);
    assert.equal((await confirm()).status, 0);
    const again = await postern(apply('5s'));
    assert.deepEqual([again.status, again.stdout], [0, 'There is nothing to apply: this configuration is in force\n']);
    writeFileSync(file(), '[door.ssh]\nprotect = ["tcp/9x"]\n');
    assert.equal((await postern(apply('5s'))).status, 1);
    assert.equal(await reaches(22), false);
  });

  test('a grant from before the change confirms nothing; a knock since does', async () => {
    const session = { SSH_CONNECTION: `${client.address4} 50123 ${server.address4} 22` };
    const first = start(init(['--open-for', '10m']));
    await first.waitForLine(/^In force/, PATIENCE);
    const printed = first.lines.join('\n');
    await knock(printed);
    assert.equal(
      await eventually(
        async () => (await confirm(session)).status,
        (status) => status === 0,
      ),
      0,
    );
    await first.ended;
    writeFileSync(
      file(),
      `${readFileSync(file(), 'utf8')}[door.web]\nprotect = ["tcp/80"]\n[door.web.knock]\nsteps = ["tcp/7001", "tcp/7009", "udp/7005"]\n`,
    );
    const trial = start(apply('60s'));
    await trial.waitForLine(/^In force/, PATIENCE);
    assert.equal(await reaches(22), true, 'the grant of before');
    await client.exec([process.execPath, KNOCK, server.address4, '7001:tcp', '7009:tcp', '7005:udp']);
    assert.equal(await eventually(() => reaches(80)), true);
    const old = await confirm(session);
    assert.deepEqual(
      [old.status, /grant of 10\.77\.1\.2 is older than the change/.test(old.stderr)],
      [1, true],
      old.stderr,
    );
    assert.match(old.stderr, /postern close ssh 10\.77\.1\.2/);
    assert.equal((await postern(['--config', file(), 'close', 'ssh', client.address4])).status, 0);
    await knock(printed);
    assert.equal(
      await eventually(
        async () => (await confirm(session)).status,
        (status) => status === 0,
      ),
      0,
    );
    assert.equal((await trial.ended).status, 0);
  });

  test('of two at once one is refused and told whose the other is; the first is told the truth', async () => {
    assert.equal((await postern(init(['--no-apply']))).status, 0);
    const both = [start(apply('6s')), start(apply('6s'))];
    const ended = await Promise.all(both.map((each) => each.ended));
    const [refused, tried] = ended.sort((x, y) => x.stdout.length - y.stdout.length);
    assert.deepEqual(
      ended.map(({ status }) => status),
      [1, 1],
    );
    assert.match(refused!.stderr, /Another change waits for its confirmation: \S+, applied by \S+ .*process \d+/);
    // On a slow machine the time is over before the daemon is up.
    assert.match(tried!.stdout, /^not confirmed|^What was in force before is back/m);
    assert.doesNotMatch(tried!.stdout, /^confirmed/m);
    assert.equal(await reaches(22), true);
  });

  test('whoever is alive takes it back when the rollback was killed, and a late confirmation is none', async () => {
    assert.equal((await postern(init(['--no-apply']))).status, 0);
    const first = start(apply('60s'));
    await first.waitForLine(/^In force/, PATIENCE);
    assert.equal((await confirm()).status, 0);
    const old = readFileSync(file(), 'utf8');
    for (const who of ['the command', 'the daemon']) {
      writeFileSync(file(), old.replace('"tcp/22"', '"tcp/22", "tcp/80"'), { mode: 0o600 });
      const trial = start(apply('3s'));
      await trial.waitForLine(/^In force/, PATIENCE);
      process.kill(rollbackPid(), 'SIGKILL');
      if (who === 'the daemon') process.kill(trial.pid, 'SIGKILL');
      await sleep(3200);
      const late = await confirm();
      assert.deepEqual([late.status, /too late|nothing to confirm/i.test(late.stderr)], [1, true], late.stderr);
      const { stdout } = await trial.ended;
      if (who === 'the command') assert.match(stdout, /^not confirmed/m);
      assert.equal(await eventually(async () => readFileSync(file(), 'utf8') === old), true, who);
      assert.equal(await eventually(() => reaches(80)), true, who);
    }
    const reverted = async (): Promise<number> =>
      (await postern(['--config', file(), 'log', '-t', 'reverted', '--json'])).stdout.trim().split('\n').length;
    // The daemon looks twice a second.
    assert.equal(await eventually(reverted, (lines) => lines >= 2), 2);
  });

  test('a trial that is over at once, or never, is a slip', async () => {
    for (const time of ['0s', '1s', '25h']) {
      const { status, stderr } = await postern(apply(time));
      assert.deepEqual([status, /from "3s" to "24h"/.test(stderr)], [2, true], stderr);
    }
  });
});
