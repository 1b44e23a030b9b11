/**
 * A machine with an init of its own, a client beside it that knocks, and what a test asks of both.
 *
 *     machine eth0 10.77.1.1 ──── 10.77.1.2 eth0 client
 */

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from './machine.ts';
import { createTopology, type Host } from './netns.ts';
import { startPeer } from './peer.ts';
import { KNOCK } from './posternd-host.ts';
import { startSender } from './sender.ts';

/** Where the services look for it. */
export const CONFIG = '/etc/postern/postern.toml';

export interface MachineStage<Kind extends Machine> extends AsyncDisposable {
  readonly client: Host;
  readonly machine: Kind;
  /** Does the client come through to a port of the machine? Servers listen on 22 and 80. */
  reaches(port: number): Promise<boolean>;
  /** The knock of `sshDoor`. */
  knock(): Promise<void>;
  /** Knocks, and waits until port 22 was open and is shut again. */
  opensAndCloses(): Promise<void>;
  /** Writes a file of the machine that only root can read. */
  write(path: string, text: string): Promise<void>;
  /** What stands in one. */
  read(path: string): Promise<string>;
  /** What `postern` answers with `--json`. */
  postern<T>(...words: readonly string[]): Promise<T>;
  /** Waits for it; throws, with what the machine's log says of Postern, when it does not come in so many milliseconds. */
  eventually(what: () => boolean | Promise<boolean>, patience?: number): Promise<void>;
}

const PATIENCE = 10_000;
/** A closed port answers at once: only a lost packet takes so long. */
const WAIT = 2000;

/** Starts the machine, whose log `tell` gives. */
export async function machineStage<Kind extends Machine>(
  start: (host: Host) => Promise<Kind>,
  tell: (machine: Kind) => Promise<string>,
): Promise<MachineStage<Kind>> {
  const topology = await createTopology({ links: [['server', 'client']] });
  const { server, client } = topology.hosts;
  const machine = await start(server).catch(async (error: unknown) => {
    await topology.close();
    throw error;
  });
  await server.exec(['ip', 'link', 'set', 'eth0', 'up']);
  const echo = startPeer(server);
  for (const port of [22, 80]) await echo.listen('tcp', port);
  const [peer, sender] = [startPeer(client), startSender(client)];
  const [source, destination] = [client.address4, server.address4];
  const reaches = async (port: number): Promise<boolean> =>
    (await peer.connect({ source, destination, port, wait: WAIT })) === 'connected';
  const knock = async (): Promise<void> => void (await sender.send(`src=${source} dst=${destination}: ${KNOCK}`));
  const eventually = async (what: () => boolean | Promise<boolean>, patience = PATIENCE): Promise<void> => {
    for (const start = performance.now(); !(await what()); await sleep(30)) {
      if (performance.now() - start > patience)
        assert.fail(`not so after ${patience} ms: ${what}\n${await tell(machine)}`);
    }
  };
  return {
    ...{ client, machine, reaches, knock, eventually },
    async opensAndCloses() {
      await knock();
      await eventually(() => reaches(22));
      await eventually(async () => !(await reaches(22)));
    },
    async write(path, text) {
      const script = 'umask 077; mkdir -p "$(dirname "$0")"; cat > "$0"';
      await machine.exec(['sh', '-c', script, path], { input: text });
    },
    read: async (path) => (await machine.exec(['cat', path])).stdout,
    postern: async (...words) =>
      JSON.parse((await machine.exec(['postern', ...words, '--json'], { mayFail: true })).stdout),
    async [Symbol.asyncDispose]() {
      await machine[Symbol.asyncDispose]();
      await topology.close();
    },
  };
}
