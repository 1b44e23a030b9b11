/**
 *     server eth0 10.77.1.1 ──── 10.77.1.2 eth0 inside
 *     server eth1 10.77.2.1 ──── 10.77.2.2 eth0 outside
 *
 * A running posternd is told to listen elsewhere.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from '../support/knockd-host.ts';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { startPeer } from '../support/peer.ts';
import { KNOCK, type Posternd, sshDoor, startPosternd } from '../support/posternd-host.ts';
import { startSender } from '../support/sender.ts';

const skip = unavailable('nft', 'ss');
const SIDES = { inside: ['10.77.1.2', '10.77.1.1'], outside: ['10.77.2.2', '10.77.2.1'] } as const;
type Side = keyof typeof SIDES;

describe('other interfaces, by a reload', { skip }, () => {
  let topology: Topology<'server' | Side>;
  let server: Host;

  before(async () => {
    topology = await createTopology({
      links: [
        ['server', 'inside'],
        ['server', 'outside'],
      ],
    });
    server = topology.hosts.server;
    await startPeer(server).listen('tcp', 22);
  });
  beforeEach(() => server.exec(['nft', 'flush', 'ruleset']));
  after(() => topology?.close());

  const edit = ({ folder }: Posternd, change: (text: string) => string): void => {
    const file = join(folder, 'postern.toml');
    writeFileSync(file, change(readFileSync(file, 'utf8')));
  };
  const listenOn = (daemon: Posternd, name: string): void =>
    edit(daemon, (text) => text.replace(/interfaces = .*/, `interfaces = [${name}]`));
  const reload = (daemon: Posternd) => daemon.ask((control) => control.reload());
  const opens = async (daemon: Posternd, side: Side): Promise<boolean> => {
    const [source, destination] = SIDES[side];
    await startSender(topology.hosts[side]).send(`src=${source} dst=${destination}: ${KNOCK}`);
    const deadline = performance.now() + 3000;
    for (;;) {
      if ((await daemon.sources()).includes(source)) return true;
      if (performance.now() > deadline) return false;
      await sleep(20);
    }
  };

  test('are listened to from then on, the old ones no longer; what is open stays open', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('60s'), interfaces: ['eth0'] });
    assert.equal(await opens(daemon, 'inside'), true);
    const first = daemon.watcher();
    listenOn(daemon, '"eth1"');
    assert.deepEqual((await reload(daemon)).warnings, []);
    assert.equal(await opens(daemon, 'outside'), true);
    assert.deepEqual((await daemon.sources()).toSorted(), ['10.77.1.2', '10.77.2.2']);
    assert.equal(isAlive(first), false);
    await daemon.ask((control) => control.close('ssh'));
    assert.equal(await opens(daemon, 'inside'), false);
    // Both, and the same again: the watcher stays.
    listenOn(daemon, '"eth0", "eth1"');
    await reload(daemon);
    const second = daemon.watcher();
    await reload(daemon);
    assert.equal(daemon.watcher(), second);
    assert.deepEqual([await opens(daemon, 'inside'), await opens(daemon, 'outside')], [true, true]);
    // No watcher was lost in between.
    const { watcher } = await daemon.ask((control) => control.status());
    assert.equal(watcher.restarts, 0);
  });

  test('that there are not are refused, and the old ones are listened to as before', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('60s'), interfaces: ['eth0'] });
    const watcher = daemon.watcher();
    listenOn(daemon, '"eth7"');
    await assert.rejects(reload(daemon), /Cannot listen on eth7: .*the old configuration is in force/);
    assert.equal(daemon.watcher(), watcher);
    assert.equal(await opens(daemon, 'inside'), true);
  });

  test('what takes effect with the next start only cannot be on trial while the daemon runs', async () => {
    await using daemon = await startPosternd(server, { doors: sshDoor('60s'), interfaces: ['eth0'] });
    edit(daemon, (text) => `${text}[firewall]\nipv6_prefix = 56\n`);
    const config = join(daemon.folder, 'postern.toml');
    const postern = join(import.meta.dirname, '../../bin/postern');
    const apply = [process.execPath, postern, '--config', config, 'apply', '--yes'];
    const { status, stderr } = await server.exec(apply, { mayFail: true, cwd: daemon.folder });
    assert.equal(status, 1);
    assert.match(stderr, /cannot be tried while the daemon runs: ipv6_prefix in \[firewall\]/);
    assert.match(stderr, /hint: Stop posternd/);
    // Another file than the daemon reads is not put on trial, either: nothing would change.
    const other = join(daemon.folder, 'other.toml');
    writeFileSync(other, readFileSync(config, 'utf8').replace('9000', '9009').replace('ipv6_prefix = 56', ''), {
      mode: 0o600,
    });
    const elsewhere = [process.execPath, postern, '--config', other, 'apply', '--yes'];
    const refused = await server.exec(elsewhere, { mayFail: true, cwd: daemon.folder });
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /The daemon that guards this host reads .*postern\.toml, not .*other\.toml/);
    assert.equal(existsSync(join(daemon.folder, 'state/pending.json')), false);
    // A reload takes what it can, and says what it cannot.
    assert.deepEqual((await reload(daemon)).warnings, ['takes effect with the next start: ipv6_prefix in [firewall]']);
  });
});
