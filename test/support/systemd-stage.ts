/**
 * What the tests of the units share: a machine that systemd runs, a client beside it, and Postern installed as doc/service.md says.
 *
 *     machine eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PACKAGE } from './machine.ts';
import { createTopology, type Host } from './netns.ts';
import { type Peer, startPeer } from './peer.ts';
import { KNOCK } from './posternd-host.ts';
import { startSender } from './sender.ts';
import { type SystemdMachine, startSystemd } from './systemd-machine.ts';

export const CONFIG = '/etc/postern/postern.toml';

export interface SystemdStage extends AsyncDisposable {
  readonly server: Host;
  readonly client: Host;
  readonly peer: Peer;
  readonly machine: SystemdMachine;
  /** Does the client come through to a port of the machine? Servers listen on 22 and 80. */
  reaches(port: number): Promise<boolean>;
  /** The knock of `sshDoor`. */
  knock(): Promise<void>;
  /** Writes a file of the machine. */
  write(path: string, text: string): Promise<void>;
  /** What stands in one. */
  read(path: string): Promise<string>;
  /** Settings under `[Service]`, as `systemctl edit` leaves them. */
  dropIn(unit: string, lines: string): Promise<void>;
  /** The words of `postern` with `--json`, parsed. */
  postern<T>(...words: readonly string[]): Promise<T>;
}

/** Starts the machine, with nothing of Postern in it but the package. */
export async function systemdStage(): Promise<SystemdStage> {
  const topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  const machine = await startSystemd(server, {}).catch(async (error: unknown) => {
    await topology.close();
    throw error;
  });
  await server.exec(['ip', 'link', 'set', 'eth0', 'up']);
  const echo = startPeer(server);
  for (const port of [22, 80]) await echo.listen('tcp', port);
  const [peer, sender] = [startPeer(client), startSender(client)];
  const [source, destination] = [client.address4, server.address4];
  const write = async (path: string, text: string): Promise<void> => {
    const script = 'mkdir -p "$(dirname "$0")"; umask 077; cat > "$0"';
    await machine.exec(['sh', '-c', script, path], { input: text });
  };
  return {
    ...{ server, client, peer, machine, write },
    reaches: async (port) => (await peer.connect({ source, destination, port })) === 'connected',
    knock: async () => void (await sender.send(`src=${source} dst=${destination}: ${KNOCK}`)),
    read: async (path) => (await machine.exec(['cat', path])).stdout,
    async dropIn(unit, lines) {
      await write(`/etc/systemd/system/${unit}.d/override.conf`, `[Service]\n${lines}\n`);
      await machine.systemctl('daemon-reload');
    },
    postern: async (...words) =>
      JSON.parse((await machine.exec(['postern', ...words, '--json'], { mayFail: true })).stdout),
    async [Symbol.asyncDispose]() {
      await machine[Symbol.asyncDispose]();
      await topology.close();
    },
  };
}

/** Puts the files where the table of doc/service.md says, and runs its commands. */
export async function installUnits({ machine }: SystemdStage): Promise<void> {
  const page = readFileSync(join(import.meta.dirname, '../../doc/service.md'), 'utf8');
  const rows = [...page.matchAll(/^\| (?:systemd)? *\| (.*`(?:systemd|packaging)\/.*) \| (.*) \|$/gm)];
  const copies = rows.flatMap(([, files = '', folders = '']) => {
    const targets = quoted(folders);
    return quoted(files).map((file, index) => `cp ${file} ${targets[index] ?? targets[0]}`);
  });
  const [, commands = ''] = /On systemd:\n\n```sh\n([\s\S]*?)```/.exec(page) ?? [];
  assert.ok(copies.length === 4 && commands.includes('systemctl enable'), 'doc/service.md reads otherwise');
  await machine.exec(['sh', '-exc', `cd ${PACKAGE}\nmkdir -p /usr/lib/sysusers.d\n${copies.join('\n')}\n${commands}`]);
}

function quoted(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
}

/** Waits for it; throws, with what the journal has of the unit, when it does not come. */
export async function eventually(
  { machine }: SystemdStage,
  what: () => boolean | Promise<boolean>,
  patience = 10_000,
): Promise<void> {
  const start = performance.now();
  while (!(await what())) {
    if (performance.now() - start > patience)
      assert.fail(`not so after ${patience} ms: ${what}\n${await machine.journal('postern*')}`);
    await sleep(30);
  }
}
