/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * The lock-out drill: eight ways to shoot oneself in the foot, each survived by what doc/lockout.md says and by nothing else. The tests are
 * called as the page's table calls them, in its order, and run the commands that it names; "in" is a connection of the client's to port 22.
 */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectControl } from '../../src/control/client.ts';
import type { WireEntry } from '../../src/control/wire-event.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, sshDoor } from '../support/posternd-host.ts';
import type { Ended, Running } from '../support/running.ts';
import { type Sender, startSender } from '../support/sender.ts';

const skip = unavailable('nft', 'ss');
const BIN = join(import.meta.dirname, '../../bin');
/** On a busy machine. */
const PATIENCE = 20_000;
const TRIAL = '4s';
const EMPTY_DOOR = '[door.ssh]\nprotect = ["tcp/22"]\n';

interface Way {
  readonly name: string;
  /** What the page tells to type, in its order. */
  readonly commands: readonly string[];
}

const PAGE: readonly Way[] = readFileSync(join(import.meta.dirname, '../../doc/lockout.md'), 'utf8')
  .split('\n')
  .map((line) => /^\| \d+ \| (.+?) \| (.+) \|$/.exec(line))
  .filter((row) => row !== null)
  .map(([, name = '', remedy = '']) => ({
    name,
    commands: [...remedy.matchAll(/`((?:postern|posternd|nft|cp)\b[^`]*)`/g)].map(([, command = '']) => command),
  }));

describe('the lock-out drill', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let client: Host;
  let peer: Peer;
  let sender: Sender;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    ({ server, client } = topology.hosts);
    await startPeer(server).listen('tcp', 22);
    peer = startPeer(client);
    sender = startSender(client);
  });
  beforeEach(async () => {
    await server.exec(['nft', 'flush', 'ruleset']);
    folder = mkdtempSync(join(tmpdir(), 'postern-drill-'));
    assert.equal(await isIn(), true);
  });
  afterEach(() => {
    const pid = daemonPid();
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  after(() => topology?.close());

  const file = (): string => join(folder, 'postern.toml');
  const isIn = async (): Promise<boolean> =>
    (await peer.connect({ source: client.address4, destination: server.address4, port: 22, wait: 700 })) ===
    'connected';
  const comesIn = async (): Promise<boolean> => {
    for (const deadline = performance.now() + PATIENCE; performance.now() < deadline; await sleep(50)) {
      if (await isIn()) return true;
    }
    return false;
  };
  const knock = async (): Promise<boolean> => {
    await sender.send(`src=${client.address4} dst=${server.address4}: ${KNOCK}`);
    return comesIn();
  };
  const write = (doors: string, { top = '', capture = 'eth0' } = {}): void =>
    writeFileSync(
      file(),
      `${top}[state]\ndir = "state"\n[log]\nsyslog = false\n[capture]\ninterfaces = ["${capture}"]\n${doors}`,
      { mode: 0o600 },
    );
  /** As the page has it, with the places of this test instead of the usual ones. */
  const here = (command: string): string =>
    command
      .replaceAll('203.0.113.7', client.address4)
      .replaceAll('/etc/postern/postern.toml', file())
      .replaceAll('/var/lib/postern', join(folder, 'state'))
      .replace(/^postern (check|doctor)$/, `postern $1 --json`)
      .replace(/^(posternd?)\b/, `${process.execPath} ${BIN}/$1 --config ${file()}`);
  const env = (connection?: string): NodeJS.ProcessEnv => ({ SSH_CONNECTION: connection });
  const type = (command: string, connection?: string): Promise<Ended> =>
    server.exec(['sh', '-c', here(command)], { mayFail: true, env: env(connection) });
  const done = async (command: string): Promise<string> => {
    const { status, stdout, stderr } = await type(command);
    assert.equal(status, 0, `${command}: ${stderr}`);
    return stdout;
  };
  /** In a session of its own, without the address of a caller who is let in anyway. */
  const apply = (within = TRIAL, connection?: string): Running =>
    server.spawn(['setsid', 'sh', '-c', `${here(`postern apply --yes --confirm-within ${within}`)}; true`], {
      env: env(connection),
    });
  const inForce = async (within = TRIAL, connection?: string): Promise<Running> => {
    const trial = apply(within, connection);
    await trial.waitForLine(/^In force/, PATIENCE);
    return trial;
  };
  /** In force for good, and closed. */
  const guarded = async (doors: string, top = ''): Promise<void> => {
    write(doors, { top });
    await start();
    assert.equal(await isIn(), false);
  };
  const start = async (): Promise<Running> => {
    const daemon = server.spawn(['sh', '-c', `exec ${here('posternd')}`]);
    await daemon.waitForLine(/^ready$/, PATIENCE);
    return daemon;
  };
  /** What the state has written down is from another boot of the machine. */
  const reset = (): void => {
    const pending = join(folder, 'state/pending.json');
    writeFileSync(pending, JSON.stringify({ ...JSON.parse(readFileSync(pending, 'utf8')), boot: 'the one before' }));
    writeFileSync(join(folder, 'state/applied.boot'), 'the one before');
  };
  const daemonPid = (): number | undefined => {
    const lock = join(folder, 'state/state.lock');
    const pid = Number((existsSync(lock) ? readFileSync(lock, 'utf8') : '').split(' ')[0]);
    return pid > 0 && existsSync(`/proc/${pid}`) ? pid : undefined;
  };
  const trials = async (): Promise<readonly string[]> => {
    const lines = (await done('postern log --json -t applied,confirmed,reverted')).trim().split('\n');
    return lines.map((line) => (JSON.parse(line) as WireEntry).type);
  };

  const drill: readonly (readonly [string, (page: Way) => Promise<void>])[] = [
    [
      'a change closes you out, and you cannot confirm it',
      async () => {
        write(sshDoor('30s'));
        // Through a tunnel: an address that cannot be let in meanwhile.
        const trial = await inForce(TRIAL, '127.0.0.1 50123 127.0.0.1 22');
        assert.equal(await isIn(), false);
        using control = await connectControl(join(folder, 'state/control.sock'));
        assert.equal((await control.status()).trial?.file, file());
        const { status } = await type('postern confirm', `${client.address4} 50123 ${server.address4} 22`);
        assert.equal(status, 1, 'whoever has not knocked cannot confirm');
        assert.match(
          (await trial.ended).stdout,
          /^not confirmed: no port is hidden any more, posternd has ended, what was tried is \S+\.rejected$/m,
        );
        assert.equal(await isIn(), true);
        for (let waited = 0; waited < PATIENCE && daemonPid() !== undefined; waited += 50) await sleep(50);
        assert.equal(daemonPid(), undefined);
      },
    ],
    [
      'the same, and then the daemon, the command and your session are killed, or the machine is reset',
      async ({ commands }) => {
        await guarded(sshDoor('30s'));
        const old = readFileSync(file(), 'utf8');
        write(sshDoor('30s').replace('tcp/7000', 'tcp/7001'));
        const tried = readFileSync(file(), 'utf8');
        const trial = await inForce();
        writeFileSync(file(), tried.replace('tcp/7001', 'tcp/7002'));
        const refused = await type('postern reload');
        assert.match(refused.stderr, /^postern: .* has changed, .* on trial for another \d s$/m);
        assert.deepEqual(await trials(), ['applied']);
        process.kill(daemonPid()!, 'SIGKILL');
        process.kill(-trial.pid, 'SIGKILL');
        await trial.ended;
        for (let waited = 0; waited < PATIENCE && readFileSync(file(), 'utf8') !== old; waited += 100) await sleep(100);
        assert.deepEqual([readFileSync(file(), 'utf8'), await isIn()], [old, false]);
        assert.deepEqual(commands, ['posternd']);
        await start();
        assert.equal(await knock(), true);
        assert.deepEqual(await trials(), ['applied', 'reverted']);

        writeFileSync(file(), tried);
        await done('postern close ssh');
        const again = await inForce('60s');
        process.kill(daemonPid()!, 'SIGKILL');
        process.kill(-again.pid, 'SIGKILL');
        await again.ended;
        reset();
        await server.exec(['nft', 'flush', 'ruleset']);
        const daemon = await start();
        await daemon.waitForLine(/was on trial when the machine went down: what was in force before is back/);
        assert.deepEqual([readFileSync(file(), 'utf8'), await isIn()], [old, false]);
        assert.equal(await knock(), true);
        assert.deepEqual((await trials()).slice(2), ['applied', 'reverted']);
      },
    ],
    [
      'knocks are listened for on the wrong interface',
      async () => {
        const caller = `${client.address4} 50123 ${server.address4} 22`;
        write(sshDoor('30s'), { capture: 'lo' });
        const { stdout } = await server.exec(['sh', '-c', `${here('postern apply')} </dev/null`], {
          mayFail: true,
          env: env(caller),
        });
        assert.match(
          stdout,
          /^warning: This session came in at 10\.77\.1\.1, which is on eth0, and knocks are heard on lo: /m,
        );
        assert.equal(await isIn(), true, 'nothing was closed without an answer');
        const trial = await inForce();
        await sender.send(`src=${client.address4} dst=${server.address4}: ${KNOCK}`);
        assert.equal(await isIn(), false);
        assert.equal((await trial.ended).status, 0);
        assert.equal(await isIn(), true);

        write(sshDoor('30s'), { capture: 'nosuch0' });
        const hopeless = await apply('60s').ended;
        assert.match(hopeless.stderr, /There is no interface "nosuch0"/);
        assert.match(hopeless.stdout, /^What was in force before is back, what was tried is \S+\.rejected$/m);
        assert.equal(await isIn(), true);
      },
    ],
    [
      'a door that nobody can knock on, or a knock that you have lost',
      async ({ commands }) => {
        write(EMPTY_DOOR);
        for (const command of ['postern check', 'postern doctor']) {
          assert.match((await type(command)).stdout, /closes tcp\/22 and has no knock/, command);
        }
        const trial = await inForce();
        assert.match(trial.lines.join('\n'), /warning: .*closes tcp\/22 and has no knock/);
        await done('postern confirm');
        assert.equal(await isIn(), false);
        const [show = '', open = '', allow = '', ...others] = commands;
        assert.deepEqual(others, []);
        await done(show);
        await done(open);
        assert.equal(await isIn(), true);
        await done('postern close ssh');
        assert.equal(await isIn(), false);
        await done(allow);
        assert.equal(await isIn(), true);
        assert.deepEqual(await trials(), ['applied', 'confirmed']);
      },
    ],
    [
      'your address is banned',
      async ({ commands }) => {
        await guarded(`${sshDoor('30s')}[ban]\nafter = 10\n`, 'trap = ["tcp/23", "tcp/3389", "udp/161"]\n');
        await sender.send(`src=${client.address4} dst=${server.address4}: 23 3389 u161`);
        const banned = async (): Promise<boolean> => /^BANNED/m.test(await done('postern status'));
        for (let waited = 0; waited < PATIENCE && !(await banned()); waited += 50) await sleep(50);
        assert.ok(await banned());
        assert.equal(await knock(), true);
        await done('postern close ssh');
        await done('postern ban 203.0.113.7');
        await sender.send(`src=${client.address4} dst=${server.address4}: ${KNOCK}`);
        assert.equal(await isIn(), false);
        assert.match(await done('postern log -t denied'), /ssh +10\.77\.1\.2 +banned/);
        const [unban = '', ...others] = commands;
        assert.deepEqual(others, []);
        await done(unban);
        assert.equal(await knock(), true);
      },
    ],
    [
      'another firewall of this host refuses whoever has knocked',
      async ({ commands }) => {
        await server.exec(['nft', '-f', '-'], {
          input: 'table inet host {\n chain input {\n type filter hook input priority 0; policy drop\n }\n}\n',
        });
        await guarded(sshDoor('30s'));
        await done('postern open ssh 203.0.113.7');
        assert.equal(await isIn(), false);
        await done('postern close ssh');
        assert.deepEqual(commands, ['postern doctor']);
        const { status, stdout } = await type(commands[0]!);
        assert.equal(status, 1);
        const found = JSON.parse(stdout) as { check: string; status: string; hint?: string }[];
        const remedy = found.find((each) => each.check === 'firewall' && each.status === 'broken')?.hint;
        assert.match(remedy ?? '', /^nft insert rule inet host input tcp dport 22 accept/);
        await done(remedy!);
        assert.equal(await isIn(), false);
        assert.equal(await knock(), true);
      },
    ],
    [
      'the file has an error, and the daemon does not start',
      async ({ commands: [check = '', copy = '', again = '', ...others] }) => {
        await guarded(sshDoor('30s'));
        writeFileSync(file(), readFileSync(file(), 'utf8').replace('protect', 'protcet'));
        process.kill(daemonPid()!, 'SIGKILL');
        assert.equal((await type('posternd')).status, 1);
        assert.equal(await isIn(), false, 'the guard stands');
        assert.match((await type(check)).stdout, /protcet.*"line":\d+/);
        const diagnosis = (await type('postern doctor')).stdout;
        assert.match(diagnosis, /"kernel"[\s\S]*"firewall"/);
        assert.match(diagnosis, /the rest of this is about the configuration in force/);
        // A reboot: the kernel knows nothing, and the early guard can read as little as the daemon.
        await server.exec(['nft', 'flush', 'ruleset']);
        assert.equal((await type('posternd --guard-only')).status, 1);
        assert.equal(await isIn(), true);

        await done(copy);
        assert.deepEqual([again, others], ['posternd', []]);
        await start();
        assert.equal(await isIn(), false);
        assert.equal(await knock(), true);
      },
    ],
    [
      'the daemon was stopped or uninstalled, its guard is still there',
      async ({ commands }) => {
        await guarded(sshDoor('30s'));
        process.kill(daemonPid()!, 'SIGTERM');
        while (daemonPid() !== undefined) await sleep(50);
        await sender.send(`src=${client.address4} dst=${server.address4}: ${KNOCK}`);
        assert.equal(await isIn(), false);
        const [remove = '', ...others] = commands;
        assert.deepEqual(others, []);
        const told = (await type('postern status')).stderr;
        assert.match(told, /may be closed still, and nobody hears a knock\nhint: Start posternd /);
        assert.ok(told.includes(remove), told);
        await done(remove);
        assert.equal(await isIn(), true);
      },
    ],
  ];

  test('is that of the page: the same eight ways, in the same order', () => {
    assert.equal(drill.length, 8);
    assert.deepEqual(
      PAGE.map(({ name }) => name),
      drill.map(([name]) => name),
    );
  });

  for (const [index, [name, survive]] of drill.entries()) {
    test(name, async () => survive(PAGE[index]!));
  }
});
