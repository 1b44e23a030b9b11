/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 *            eth1 10.77.2.1 ──── 10.77.2.2 eth1
 *
 * Stop commands where it is not simple that they run: start commands that outlive the daemon, two stops of one door at a time, a disk
 * that has become read-only, another `-i`, an environment that was meant for another Node.
 */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Knockd, startKnockd, until } from '../support/knockd-host.ts';
import { createTopology, type Topology, unavailable } from '../support/netns.ts';
import { startSender } from '../support/sender.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const skip = unavailable();

/** A door of one knock at `port`, whose commands write to `out`. */
function door(port: number, commands: { start?: string; timeout: number; stop?: string }): string {
  const { start = 'true', timeout, stop = 'true' } = commands;
  return `[D${port}]
  sequence = ${port},${port + 1}
  tcpflags = syn
  start_command = ${start}; echo start >> out
  cmd_timeout = ${timeout}
  stop_command = ${stop}; echo stop >> out
`;
}

/** Kills the daemon and everything it has started at one blow. */
async function killEverything(knockd: Knockd): Promise<void> {
  const pids = [knockd.running.pid, ...knockd.descendants()];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await knockd.running.ended;
}

describe('stop commands of knockd', { skip, concurrency: 3 }, () => {
  let topology: Topology<'server' | 'client'>;
  let knock: (ports: string) => Promise<void>;

  before(async () => {
    topology = await createTopology({
      links: [
        ['server', 'client'],
        ['server', 'client'],
      ],
    });
    const sender = startSender(topology.hosts.client);
    knock = async (ports) => void (await sender.send(`src=10.77.1.2 dst=10.77.1.1: ${ports}`));
  });
  after(() => topology.close());

  test('A start command that is slower than the door’s time and outlives the daemon is followed by its stop', async () => {
    await using knockd = await startKnockd(topology.hosts.server, {
      config: door(7100, { start: 'touch started; sleep 3', timeout: 1 }),
    });
    await knock('7100 7101');
    await until(
      () => knockd.descendants().length >= 4 && knockd.running.lines.some((line) => line.includes('running command')),
      () => 'watcher, guard, command and what that runs',
    );
    process.kill(knockd.running.pid, 'SIGKILL');
    assert.deepEqual(await knockd.output(2), ['start', 'stop']);
  });

  test('Two stops of one door and one source, due one right after the other, both run after the daemon’s death', async () => {
    const slow = door(7200, { timeout: 2, stop: 'sleep 1' });
    await using knockd = await startKnockd(topology.hosts.server, { config: slow });
    await knock('7200 7201');
    await knockd.output(1);
    knockd.write('knockd.conf', slow.replace('echo stop', 'echo other stop'));
    const from = knockd.running.lines.length;
    process.kill(knockd.running.pid, 'SIGHUP');
    await knockd.running.waitForLine(/^re-opening log file/, 10_000, from);
    await knock('7200 7201');
    await knockd.output(2);
    process.kill(knockd.running.pid, 'SIGKILL');
    assert.deepEqual(await knockd.output(4), ['start', 'start', 'stop', 'other stop']);
    await sleep(500);
    assert.equal((await knockd.output(4)).length, 4, 'each once');
  });

  test('What is overdue runs also from a disk that has become read-only', async () => {
    using folder = temporaryFolder();
    {
      await using knockd = await startKnockd(topology.hosts.server, {
        config: door(7300, { timeout: 600 }).replace('cmd_timeout = 600', 'cmd_timeout = 2'),
        folder: folder.path,
      });
      await knock('7300 7301');
      await knockd.output(1);
      await killEverything(knockd);
    }
    await using again = await startKnockd(topology.hosts.server, {
      config: door(7300, { timeout: 2 }),
      folder: folder.path,
      within: `exec unshare --mount --propagation private sh -ec '
        mount --bind state state && mount -o remount,bind,ro state && exec "$0" "$@"' "$0" "$@"`,
    });
    assert.deepEqual(await again.output(2), ['start', 'stop']);
    const { stderr } = await again.stop();
    assert.match(stderr, /cannot write .*: pending stop commands would be lost/);
  });

  test('What a daemon on another interface left behind is run', async () => {
    using folder = temporaryFolder();
    const config = door(7400, { timeout: 2 });
    {
      await using knockd = await startKnockd(topology.hosts.server, { config, folder: folder.path });
      await knock('7400 7401');
      await knockd.output(1);
      await killEverything(knockd);
    }
    await using again = await startKnockd(topology.hosts.server, { config, folder: folder.path, interface: 'eth1' });
    assert.deepEqual(await again.output(2), ['start', 'stop']);
  });

  test('Options of another Node reach the commands, and nothing of ours', async () => {
    using folder = temporaryFolder();
    mkdirSync(join(folder.path, 'state'), { mode: 0o700 });
    await using knockd = await startKnockd(topology.hosts.server, {
      config: door(7500, {
        start: 'echo "$NODE_OPTIONS" >> out',
        timeout: 1,
        stop: 'echo "$NODE_OPTIONS" >> out',
      }),
      folder: folder.path,
      // As bin/launch.cjs leaves it when it replaces an older Node that knows this option.
      within: 'export POSTERN_NODE_OPTIONS=--no-such-option; exec "$0" "$@"',
    });
    await knock('7500 7501');
    await knockd.output(2);
    process.kill(knockd.running.pid, 'SIGKILL');
    assert.deepEqual(await knockd.output(4), ['--no-such-option', 'start', '--no-such-option', 'stop']);
  });
});
