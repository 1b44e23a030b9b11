/**
 * posternd on a host of a test's network: its folder, its configuration, its life, and what can be asked of it.
 *
 *     await using daemon = await startPosternd(server, { doors: SSH_DOOR });
 *     await daemon.ask((client) => client.close('ssh'));
 */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ControlClient, connectControl } from '../../src/control/client.ts';
import type { WireEntry } from '../../src/control/wire-event.ts';
import { watcherOf } from './knockd-host.ts';
import type { Host } from './netns.ts';
import type { Ended, Running } from './running.ts';

const POSTERND = join(import.meta.dirname, '../../bin/posternd');
/** On a busy machine, from sources. */
const START_TIMEOUT = 30_000;

/** What every configuration of the tests begins with; the state is in the daemon's folder, `state`. */
const SETTINGS = `[state]
dir = "state"
[log]
syslog = false
level = "debug"
`;

export interface PosterndOptions {
  /** The doors and whatever else, as TOML; sections that `SETTINGS` has are not to come again. */
  readonly doors: string;
  /** Keys that stand before every section. */
  readonly top?: string;
  /** Instead of `SETTINGS`. */
  readonly settings?: string;
  /** Where its control socket is; default in the state. */
  readonly socket?: string;
  /** For [capture]; default the host's first. */
  readonly interfaces?: readonly string[];
  /** A folder of an earlier one, to go on in. */
  readonly folder?: string;
  /** Another posternd than the one of this checkout. */
  readonly program?: string;
  /** Another way to start it, with the command as `$0` onwards. */
  readonly within?: string;
}

export interface Posternd extends AsyncDisposable {
  readonly folder: string;
  readonly running: Running;
  /** Other doors, and keys before every section, for the next reload. */
  write(doors: string, top?: string): void;
  /** A file of its folder; '' while there is none. */
  read(name: string): string;
  /** On a connection of its own. */
  ask<T>(question: (client: ControlClient) => Promise<T>): Promise<T>;
  /** The newest entries of the history, oldest first. */
  history(limit?: number): Promise<readonly WireEntry[]>;
  /** The sources that a door is open for, as the daemon says. */
  sources(door?: string): Promise<readonly string[]>;
  watcher(): number;
  stop(signal?: NodeJS.Signals): Promise<Ended>;
}

/** Starts posternd with `-v` and waits until it is ready. Its folder goes when it is disposed of, unless it was given. */
export async function startPosternd(host: Host, options: PosterndOptions): Promise<Posternd> {
  const daemon = launchPosternd(host, options);
  await daemon.running.waitForLine(/^ready$/, START_TIMEOUT);
  return daemon;
}

/** The same, without waiting: for one that is not to become ready. */
export function launchPosternd(host: Host, options: PosterndOptions): Posternd {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'postern-native-'));
  mkdirSync(folder, { recursive: true });
  const names = (options.interfaces ?? [host.interfaces[0]!.name]).map((name) => `"${name}"`);
  const head = `${options.settings ?? SETTINGS}[capture]\ninterfaces = [${names}]\n`;
  const write = (doors: string, top = options.top ?? ''): void =>
    writeFileSync(join(folder, 'postern.toml'), `${top}\n${head}${doors}`);
  write(options.doors);
  const argv = [process.execPath, options.program ?? POSTERND, '-v', '--config', 'postern.toml'];
  const within = options.within ?? 'exec "$0" "$@"';
  const running = host.spawn(['sh', '-ec', within, ...argv], { cwd: folder });
  const ask = async <T>(question: (client: ControlClient) => Promise<T>): Promise<T> => {
    using client = await connectControl(options.socket ?? join(folder, 'state/control.sock'));
    return await question(client);
  };
  return {
    folder,
    running,
    write,
    read: (name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : ''),
    ask,
    history: (limit = 1000) => ask((client) => client.log({ limit })),
    sources: (door = 'ssh') =>
      ask(async (client) => {
        const { doors } = await client.status();
        return doors.find(({ name }) => name === door)!.grants.map(({ source }) => source);
      }),
    watcher: () => watcherOf(running.pid),
    stop: (signal = 'SIGTERM') => running.stop(signal),
    async [Symbol.asyncDispose]() {
      if (running.running) await running.stop('SIGKILL');
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Opens the door of `sshDoor`, in the notation of packet-spec.ts. */
export const KNOCK = '7000 u8000 9000';

/** A door of port 22; `rest` are more lines of it. */
export function sshDoor(openFor: string, rest = ''): string {
  return `[door.ssh]
protect = ["tcp/22"]
open_for = "${openFor}"
${rest}
[door.ssh.knock]
steps = ["tcp/7000", "udp/8000", "tcp/9000"]
within = "5s"
`;
}

/** The kernel's list: the sources in a door's sets, with the milliseconds that they have left. */
export async function kernelGrants(host: Host, door = 'ssh'): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const version of [4, 6]) {
    const { stdout } = await host.exec(['nft', '-j', 'list', 'set', 'inet', 'postern', `open${version}_${door}`], {
      mayFail: true,
    });
    if (stdout === '') continue;
    const { nftables } = JSON.parse(stdout) as { nftables: { set?: { elem?: readonly Listed[] } }[] };
    for (const { elem } of nftables.flatMap((part) => part.set?.elem ?? [])) {
      found.set(elem.val, (elem.expires ?? Number.POSITIVE_INFINITY) * 1000);
    }
  }
  return found;
}

interface Listed {
  readonly elem: { readonly val: string; readonly expires?: number };
}
