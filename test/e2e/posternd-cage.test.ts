/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *
 * What both halves of a running posternd hold, on every thread, as the kernel sees it; and that it is enough.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { FIRST_DESCRIPTOR } from '../../src/keeper/caged-start.ts';
import { watcherAccount } from '../../src/platform/accounts.ts';
import { builtPackage } from '../support/built-package.ts';
import type { Aims } from '../support/escapes.ts';
import { parentOf } from '../support/knockd-host.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { startSender } from '../support/sender.ts';

const skip = unavailable('nft', 'ss');

const UNIT = join(import.meta.dirname, '../../systemd/posternd.service');
const CAP_KILL = 5n;
const maskOf = (capabilities: readonly number[]): bigint =>
  capabilities.reduce((bits, capability) => bits | (1n << BigInt(capability)), 0n);
/** NET_ADMIN and NET_RAW. */
const KEPT = maskOf([12, 13]);
/** DAC_READ_SEARCH, KILL, SETGID, SETUID. */
const ZYGOTE = maskOf([2, 5, 6, 7]);

/** The watcher as it is, and in the same process, once it is up, somebody who tries all that he must not be able to do. */
async function bundleCaptured(file: string, aims: Aims): Promise<void> {
  const captured = `
    import { promises, writeSync } from 'node:fs';
    // The threads that files are read from are there before they could not be started any more.
    promises.stat('/').catch(() => {});
    await import('./src/watcher/main.ts');
    const { escapes, tryAll } = await import('./test/support/escapes.ts');
    const outcomes = await tryAll(escapes(${JSON.stringify(aims)}));
    const allowed = Object.keys(outcomes).filter((name) => outcomes[name] === 'allowed');
    const found = allowed.length === 0 ? 'nothing was allowed' : allowed.join(', ');
    writeSync(2, \`user \${process.getuid()} tried \${Object.keys(outcomes).length}: \${found}\\n\`);`;
  await build({
    stdin: { contents: captured, resolveDir: join(import.meta.dirname, '../..'), loader: 'ts' },
    outfile: file,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    external: ['koffi'],
    logLevel: 'warning',
  });
}

describe('the cage', { skip }, () => {
  let topology: Topology<'server' | 'client'>;
  let server: Host;
  let peer: Peer;
  let folder: string;

  before(async () => {
    topology = await createTopology({ links: [['server', 'client']] });
    server = topology.hosts.server;
    await startPeer(server).listen('tcp', 22);
    peer = startPeer(topology.hosts.client);
    folder = mkdtempSync(join(tmpdir(), 'postern-cage-'));
  });
  beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
  after(async () => {
    await topology?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const statuses = (pid: number): readonly Readonly<Record<string, string>>[] =>
    readdirSync(`/proc/${pid}/task`).map((thread) => {
      const text = readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1');
      return Object.fromEntries([...text.matchAll(/^(\w+):\t?(.*)$/gm)].map((field) => [field[1]!, field[2]!]));
    });
  const knock = (): Promise<unknown> =>
    startSender(topology.hosts.client).send(`src=10.77.1.2 dst=10.77.1.1: ${KNOCK}`);
  const reaches = async (): Promise<boolean> => {
    const deadline = performance.now() + 3000;
    for (;;) {
      if ((await peer.connect({ source: '10.77.1.2', destination: '10.77.1.1', port: 22 })) === 'connected')
        return true;
      if (performance.now() > deadline) return false;
      await sleep(20);
    }
  };

  const gone = async (pid: number): Promise<void> => {
    for (let waited = 0; existsSync(`/proc/${pid}`) && waited < 5000; waited += 20) await sleep(20);
    assert.equal(existsSync(`/proc/${pid}`), false);
  };

  test('the watcher holds nothing, the keeper CAP_NET_ADMIN and CAP_NET_RAW, and both do their work', async () => {
    const door = sshDoor('30s', 'close = "kill"');
    await using daemon = await startPosternd(server, { doors: door });
    for (const { Name = '', CapEff, CapPrm, CapBnd } of statuses(daemon.running.pid)) {
      for (const set of [CapEff, CapPrm, CapBnd]) assert.equal(BigInt(`0x${set}`), KEPT, `${Name}: ${set}`);
    }
    // Who starts the watcher reads nothing of strangers, and is caged as well.
    const zygote = parentOf(daemon.watcher());
    assert.equal(parentOf(zygote), daemon.running.pid);
    for (const { Name = '', CapPrm = '', CapBnd = '', NoNewPrivs, Seccomp } of statuses(zygote)) {
      for (const set of [CapPrm, CapBnd]) assert.equal(BigInt(`0x${set}`) & ~ZYGOTE, 0n, `${Name}: ${set}`);
      assert.deepEqual([NoNewPrivs, Seccomp], ['1', '2'], Name);
    }
    for (const { Name = '', Uid = '', CapPrm, CapBnd = '', NoNewPrivs, Seccomp } of statuses(daemon.watcher())) {
      assert.deepEqual([CapPrm, NoNewPrivs, Seccomp], ['0'.repeat(16), '1', '2'], Name);
      assert.equal(Uid.split('\t').includes('0'), false, Name);
      assert.equal(BigInt(`0x${CapBnd}`) & ~ZYGOTE, 0n, Name);
    }
    await knock();
    assert.ok(await reaches());
    const session = await peer.begin({ source: '10.77.1.2', destination: '10.77.1.1', port: 22 });
    assert.equal((await daemon.ask((control) => control.close('ssh'))).closed, 1);
    assert.notEqual(await session.says('still here?'), 'connected');
    await session.end();
    // Another watcher is started with what is left.
    const first = daemon.watcher();
    process.kill(first, 'SIGKILL');
    await daemon.running.waitForLine(/the watcher was killed by SIGKILL/);
    await knock();
    assert.ok(await reaches());
  });

  test('code that runs in the watcher of a daemon gets nowhere', async () => {
    const victim = spawn('sleep', ['60'], { stdio: 'ignore', ...watcherAccount() });
    try {
      using built = await builtPackage();
      await bundleCaptured(join(built.path, 'dist/watcher-main.js'), {
        victim: victim.pid!,
        port: 22,
        capture: FIRST_DESCRIPTOR,
        channel: FIRST_DESCRIPTOR - 1,
      });
      const program = join(built.path, 'bin/posternd');
      await using daemon = await startPosternd(server, { doors: sshDoor('30s'), program });
      const [, uid, tried, allowed] = await daemon.running.waitForLine(/watcher: user (\d+) tried (\d+): (.*)$/);
      assert.deepEqual([Number(uid), allowed], [watcherAccount().uid, 'nothing was allowed']);
      assert.ok(Number(tried) > 50, `it tried ${tried}`);
      assert.equal(victim.exitCode ?? victim.signalCode, null);
      await knock();
      assert.ok(await reaches());
    } finally {
      victim.kill('SIGKILL');
    }
  });

  test('what the systemd unit leaves is enough, also to end a watcher that hangs', async () => {
    const [, names = ''] = /^CapabilityBoundingSet=(.+)$/m.exec(readFileSync(UNIT, 'utf8')) ?? [];
    const bounding = ['-all', ...names.split(' ').map((name) => name.toLowerCase().replace('cap_', '+'))].join();
    const within = `exec setpriv --bounding-set=${bounding} "$0" "$@"`;
    await using daemon = await startPosternd(server, { doors: sshDoor('30s'), within });
    for (const { Name = '', CapEff, CapPrm } of statuses(daemon.running.pid))
      for (const set of [CapEff, CapPrm]) assert.equal(BigInt(`0x${set}`), KEPT, `${Name}: ${set}`);
    for (const { Name = '', CapPrm = '' } of statuses(parentOf(daemon.watcher())))
      assert.equal(BigInt(`0x${CapPrm}`) & (1n << CAP_KILL), 0n, `${Name}: ${CapPrm}`);
    await knock();
    assert.ok(await reaches());
    const watcher = daemon.watcher();
    process.kill(watcher, 'SIGSTOP');
    assert.equal((await daemon.stop()).status, 0);
    await gone(watcher);
  });

  test('killed, the keeper takes its zygote and a watcher that hangs with it', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') });
    const watcher = daemon.watcher();
    const zygote = parentOf(watcher);
    process.kill(watcher, 'SIGSTOP');
    await daemon.stop('SIGKILL');
    for (const pid of [zygote, watcher]) await gone(pid);
  });

  test('without its zygote the daemon ends, to be started anew; what is open stays open', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') });
    await knock();
    assert.ok(await reaches());
    const watcher = daemon.watcher();
    process.kill(parentOf(watcher), 'SIGKILL');
    const { status, stderr } = await daemon.running.ended;
    assert.equal(status, 1);
    assert.match(stderr, /The process that starts the watcher is gone/);
    await gone(watcher);
    assert.ok(await reaches());
  });

  test("a configuration that is not root's is read by the one capability for that, then and later", async () => {
    const own = mkdtempSync(join(folder, 'own-'));
    writeFileSync(join(own, 'postern.toml'), '', { mode: 0o600 });
    chownSync(join(own, 'postern.toml'), 65_533, 65_533);
    await using daemon = await startPosternd(server, { doors: sshDoor('30s'), folder: own });
    for (const { CapPrm } of statuses(daemon.running.pid)) assert.equal(BigInt(`0x${CapPrm}`), KEPT | maskOf([2]));
    await daemon.ask((control) => control.reload());
  });

  test('where the zygote does not start, the daemon keeps what it has, says so, and works', async () => {
    using built = await builtPackage();
    writeFileSync(join(built.path, 'dist/cage-zygote.js'), 'process.exit(3);');
    const program = join(built.path, 'bin/posternd');
    await using daemon = await startPosternd(server, { doors: sshDoor('30s'), program });
    await daemon.running.waitForLine(
      /^warning: The process that is to start the watcher does not start: the daemon keeps/,
    );
    await knock();
    assert.ok(await reaches());
  });

  test('hooks that come with a reload have what the daemon has kept, and whoever reloads is told', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('30s') });
    daemon.write(sshDoor('30s', 'on_open = ["/bin/true"]'));
    const { warnings } = await daemon.ask((control) => control.reload());
    assert.equal(warnings.filter((warning) => warning.startsWith('Hooks have the capabilities')).length, 1);
  });

  test('hooks are run with all that root has', async () => {
    const hook = join(folder, 'hook');
    writeFileSync(hook, '#!/bin/sh\ngrep ^CapEff /proc/self/status\n');
    chmodSync(hook, 0o755);
    await using daemon = await startPosternd(server, { doors: sshDoor('30s', `on_open = ["${hook}"]`) });
    await knock();
    const [, hex] = await daemon.running.waitForLine(/^ssh: hook for .*CapEff:.([0-9a-f]{16})/);
    const held = BigInt(`0x${hex}`);
    const own = BigInt(`0x${/^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]}`);
    assert.equal(held, own);
  });
});
