/**
 *     server eth0 10.77.1.1 ──────── 10.77.1.2 .3 eth0 client
 *
 * posternd beside the real ufw and the real firewalld of Debian, each in a mount namespace with its own copy of their files, so that the
 * machine's stay as they are. Where they are not installed, nftables-kernel.test.ts still tests their rules, reproduced.
 */

import assert from 'node:assert/strict';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTopology, type Host, type Topology, unavailable } from '../support/netns.ts';
import { type Peer, startPeer } from '../support/peer.ts';
import { KNOCK, sshDoor, startPosternd } from '../support/posternd-host.ts';
import type { Ended } from '../support/running.ts';
import { startSender } from '../support/sender.ts';
import { readTaskPage } from '../support/task-pages.ts';

const ALICE = '10.77.1.2';
const BOB = '10.77.1.3';
const SERVER = '10.77.1.1';
/** From the start of firewalld to its answer. */
const PATIENCE = 20_000;

interface Owner {
  readonly name: string;
  readonly programs: readonly string[];
  /** A shell script: its own copies of files, then the firewall, in the foreground if it is a daemon. */
  readonly start: string;
  /** Succeeds when it is up. */
  readonly up: string;
  readonly hint: string;
  /** What its administrator does now and then. */
  readonly habits: readonly string[];
}

const COPY =
  'mount -t tmpfs none /mnt; copy() { mkdir -p "/mnt$1"; cp -a "$1/." "/mnt$1/"; mount --bind "/mnt$1" "$1"; }';

const OWNERS: readonly Owner[] = [
  {
    name: 'ufw',
    programs: ['ufw'],
    start: `${COPY}; copy /etc/ufw; copy /etc/default; ufw --force enable; exec sleep 600`,
    up: 'ufw status | grep -q "Status: active"',
    hint: 'ufw allow 80/tcp',
    habits: ['ufw reload', 'ufw disable && ufw --force enable', 'ufw allow 8080/tcp'],
  },
  {
    name: 'firewalld',
    programs: ['firewalld', 'firewall-cmd', 'dbus-daemon'],
    start: `${COPY}; copy /etc/firewalld; mount -t tmpfs none /var/log; mount -t tmpfs none /run
      mkdir -p /run/dbus /run/lock /run/firewalld; dbus-daemon --system --fork --nopidfile; exec firewalld --nofork --nopid`,
    up: 'firewall-cmd --state',
    hint: 'firewall-cmd --permanent --add-port=80/tcp && firewall-cmd --reload',
    habits: ['firewall-cmd --reload', 'firewall-cmd --complete-reload', 'firewall-cmd --add-service=https'],
  },
];

describe('posternd beside other owners of the firewall', () => {
  for (const owner of OWNERS) {
    const missing = unavailable('nft', 'ss', 'nsenter', ...owner.programs);
    const skip = missing && `${missing}; its rules, reproduced, are tested in nftables-kernel.test.ts`;
    describe(owner.name, { skip }, () => {
      let topology: Topology<'server' | 'client'>;
      let server: Host;
      let peer: Peer;
      before(async () => {
        topology = await createTopology({ links: [['server', 'client']] });
        server = topology.hosts.server;
        await topology.hosts.client.exec(['ip', 'address', 'add', `${BOB}/24`, 'dev', 'eth0']);
        const mac = topology.hosts.client.interfaces[0]!.mac;
        await server.exec(['ip', 'neighbour', 'replace', BOB, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent']);
        await startPeer(server).listen('tcp', 80);
        peer = startPeer(topology.hosts.client);
      });
      after(() => topology?.close());

      test('its refusal is named with the remedy; after that the guard alone decides, whatever becomes of it', async (t) => {
        const firewall = server.spawn(['unshare', '-m', 'sh', '-ec', owner.start]);
        const within = async (script: string, mayFail = false): Promise<number | null> => {
          const argv = ['nsenter', '-m', '-t', `${firewall.pid}`, 'sh', '-c', script];
          return (await server.exec(argv, { mayFail })).status;
        };
        if (!(await comesUp(() => within(owner.up, true)))) return notHere(t, owner.name, firewall.lines);

        const reaches = async (source: string): Promise<boolean> =>
          (await peer.connect({ source, destination: SERVER, port: 80 })) === 'connected';
        await using daemon = await startPosternd(server, { doors: sshDoor('1h').replace('tcp/22', 'tcp/80') });
        await daemon.running.waitForLine(new RegExp(`^error: Port tcp/80 of door "ssh": ${owner.name} \\(.*refuses`));
        const [hint] = await daemon.running.waitForLine(/^hint: .*/);
        assert.ok(hint.startsWith(`hint: ${owner.hint} # `), hint);
        await startSender(topology.hosts.client).send(`src=${ALICE} dst=${SERVER}: ${KNOCK}`);
        await daemon.running.waitForLine(/^ssh: opened for/);
        assert.deepEqual([await reaches(ALICE), await reaches(BOB)], [false, false]);

        const ofThePage = readTaskPage('ufw').flatMap((step) => (step.kind === 'command' ? [step.command] : []));
        assert.ok(ofThePage.includes(owner.hint.replace('80', '22')), 'doc/ufw.md says so, too');
        await within(owner.hint);
        assert.deepEqual([await reaches(ALICE), await reaches(BOB)], [true, false]);
        for (const habit of owner.habits) {
          await within(habit);
          assert.deepEqual([await reaches(ALICE), await reaches(BOB)], [true, false], habit);
        }
        await daemon.ask((asked) => asked.close('ssh'));
        assert.deepEqual([await reaches(ALICE), await reaches(BOB)], [false, false]);
        const types = (await daemon.history()).map(({ type }) => type);
        const ours = types.filter((type) => type !== 'refused');
        assert.deepEqual(ours, ['started', 'opened', 'closed'], 'the guard was never touched');
      });
    });
  }
});

test('what the host refuses is told by `postern check` and by the status, with a command to be pasted', {
  skip: unavailable('nft', 'ss'),
}, async () => {
  await using topology = await createTopology({ links: [['server', 'client']] });
  const { server } = topology.hosts;
  await server.exec(['nft', '-f', '-'], {
    input: 'table inet host {\n chain input {\n type filter hook input priority 0; policy drop\n }\n}\n',
  });
  await using daemon = await startPosternd(server, { doors: sshDoor('1h') });
  const says = 'Port tcp/22 of door "ssh": chain "input" of nftables table "inet host" refuses a granted client, too';
  const { warnings } = await daemon.ask((asked) => asked.status());
  const [warning = ''] = warnings.filter((text) => text.startsWith(says));
  const [, hint = ''] = /\nhint: (.*)$/.exec(warning) ?? [];
  assert.match(hint, /^nft insert rule inet host input tcp dport 22 accept # /);

  const file = join(daemon.folder, 'postern.toml');
  chmodSync(file, 0o600);
  const check = async (): Promise<Ended> =>
    server.exec([process.execPath, join(import.meta.dirname, '../../bin/postern'), 'check', file]);
  const before = await check();
  assert.ok(before.stderr.includes(`${file}: warning: ${says}, over IPv4 and IPv6\nhint: ${hint}\n`), before.stderr);
  assert.match(before.stdout, /: ok: 1 door, 1 warning\n$/);
  await server.exec(['sh', '-c', hint]);
  const after = await check();
  assert.deepEqual([after.stdout, after.stderr], [`${file}: ok: 1 door\n`, '']);
});

async function comesUp(up: () => Promise<number | null>): Promise<boolean> {
  const deadline = performance.now() + PATIENCE;
  while ((await up()) !== 0) {
    if (performance.now() > deadline) return false;
    await sleep(200);
  }
  return true;
}

function notHere(t: TestContext, name: string, lines: readonly string[]): void {
  t.skip(`${name} does not run in a namespace here: ${lines.at(-1) ?? 'it says nothing'}`);
}
