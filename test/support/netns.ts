/**
 * Network namespaces for end-to-end tests: hosts of our own, joined by veth pairs, that no other packet of the machine enters.
 *
 *     const { hosts: { server, client }, close } = await createTopology({ links: [['server', 'client']] });
 *     //  server eth0 10.77.1.1 fd77::1 ──── 10.77.1.2 fd77::2 eth0 client
 *
 * - The n-th link is 10.77.n.0/24 and fd77::/64 (the first) or fd77:0:0:n::/64; its left end is .1, its right end .2.
 * - Neighbours are known beforehand (no ARP, no neighbour discovery) and addresses are usable at once (no duplicate detection);
 *   checksums are right on the wire where ethtool is there to turn offloading off.
 * - A namespace is named after the process that made it. It goes, with every process in it and the lock of its guard, on `close()`, at this process's end,
 *   and on SIGINT, SIGTERM and SIGHUP; what a killed process left behind goes when the next one starts.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { guardLock } from '../../src/keeper/guard-lock.ts';
import { type Ended, type ExecOptions, findProgram, Running, type RunOptions } from './running.ts';

/** Two hosts joined by one cable. Interfaces are eth0, eth1, … of their host unless named here. */
export interface Link<Name extends string> {
  readonly ends: readonly [Name, Name];
  readonly interfaces?: readonly [string, string];
}

export interface Topology<Name extends string> extends AsyncDisposable {
  readonly hosts: Readonly<Record<Name, Host>>;
  /** Kills what still runs in the namespaces and removes them. */
  close(): Promise<void>;
}

export interface Interface {
  readonly name: string;
  readonly address4: string;
  readonly address6: string;
  readonly mac: string;
  /** The other end of the cable. */
  readonly peerMac: string;
}

const live = new Set<string>();
let topologies = 0;

/**
 * Why a test cannot run here, for its `skip` option; false when it can. `programs` are what the test calls besides `ip`.
 * What is missing is installed by `npm test` where it may.
 */
export function unavailable(...programs: readonly string[]): string | false {
  if (process.platform !== 'linux') return 'needs Linux';
  const missing = ['ip', ...programs].filter((program) => findProgram(program) === undefined);
  if (missing.length > 0) return `needs ${missing.join(', ')}`;
  if (process.getuid?.() !== 0) return 'needs root';
  return namespacesRefused();
}

let refusal: string | false | undefined;

function namespacesRefused(): string | false {
  refusal ??= spawnSync('unshare', ['--net', 'true'], { stdio: 'ignore' }).status !== 0 && 'needs network namespaces';
  return refusal;
}

/** Builds the hosts that `links` name. Close it in the test's `after`, or declare it with `await using`. */
export async function createTopology<const Name extends string>(options: {
  readonly links: readonly (readonly [Name, Name] | Link<Name>)[];
}): Promise<Topology<Name>> {
  if (topologies === 0) {
    removeLeftovers();
    cleanUpAtExit();
  }
  topologies += 1;
  const prefix = `postern-${process.pid}-${topologies}`;
  const links = options.links.map((link): Link<Name> => ('ends' in link ? link : { ends: link }));
  const hosts = new Map<Name, { host: Host; interfaces: Interface[]; setup: string[] }>();
  for (const name of new Set(links.flatMap((link) => link.ends))) {
    const interfaces: Interface[] = [];
    hosts.set(name, { host: new Host(`${prefix}-${name}`, interfaces), interfaces, setup: ['link set lo up'] });
  }
  const cables: string[] = [];
  for (const [index, link] of links.entries()) {
    const network = index + 1;
    const ends = link.ends.map((end, side) => {
      const host = hosts.get(end)!;
      const name = link.interfaces?.[side] ?? `eth${host.interfaces.length}`;
      const number = side + 1;
      const [mac, peerMac] = [number, 3 - number].map((low) => `02:77:00:00:${hex(network)}:${hex(low)}`) as [
        string,
        string,
      ];
      const address6 = network === 1 ? `fd77::${number}` : `fd77:0:0:${network}::${number}`;
      const face: Interface = { name, address4: `10.77.${network}.${number}`, address6, mac, peerMac };
      host.interfaces.push(face);
      return { ...host, face };
    });
    const [left, right] = [ends[0]!, ends[1]!];
    cables.push(
      `link add ${left.face.name} address ${left.face.mac} netns ${left.host.namespace} type veth ` +
        `peer name ${right.face.name} address ${right.face.mac} netns ${right.host.namespace}`,
    );
    for (const [near, far] of [
      [left, right],
      [right, left],
    ] as const) {
      const device = near.face.name;
      near.setup.push(
        `address add ${near.face.address4}/24 dev ${device}`,
        `address add ${near.face.address6}/64 dev ${device} nodad`,
        // The kernel's own would be usable only after duplicate detection, a second later.
        `link set ${device} addrgenmode none`,
        `address add ${linkLocal(near.face.mac)}/64 dev ${device} nodad`,
        `link set ${device} up`,
        `neighbour replace ${far.face.address4} lladdr ${far.face.mac} dev ${device} nud permanent`,
        `neighbour replace ${far.face.address6} lladdr ${far.face.mac} dev ${device} nud permanent`,
      );
    }
  }
  const all = [...hosts.values()];
  const namespaces = all.map(({ host }) => host.namespace);
  for (const namespace of namespaces) live.add(namespace);
  try {
    await ip(
      [],
      namespaces.map((namespace) => `netns add ${namespace}`),
    );
    await ip([], cables);
    await Promise.all(all.map(({ host, setup }) => ip(['-n', host.namespace], setup)));
    await Promise.all(all.flatMap(({ host, interfaces }) => interfaces.map((face) => offloadNothing(host, face))));
  } catch (error) {
    removeNamespaces(namespaces);
    throw error;
  }
  const close = async (): Promise<void> => {
    await Promise.all(all.map(({ host }) => host.stopAll()));
    removeNamespaces(namespaces);
  };
  const entries = [...hosts].map(([name, { host }]) => [name, host] as const);
  return {
    hosts: Object.fromEntries(entries) as Record<Name, Host>,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Runs `ip -batch` with one command a line: one process instead of one per command. */
async function ip(options: readonly string[], commands: readonly string[]): Promise<void> {
  await new Running(['ip', ...options, '-batch', '-'], { input: `${commands.join('\n')}\n` }).end();
}

async function offloadNothing(host: Host, face: Interface): Promise<void> {
  if (findProgram('ethtool') === undefined) return;
  const off = ['tx', 'rx', 'tso', 'gso', 'gro'].flatMap((feature) => [feature, 'off']);
  await host.exec(['ethtool', '-K', face.name, ...off], { mayFail: true });
}

/** What the kernel would make of the hardware address (RFC 4291, appendix A). */
function linkLocal(mac: string): string {
  const [a = '', b, c, d, e, f] = mac.split(':');
  return `fe80::${hex(Number.parseInt(a, 16) ^ 2)}${b}:${c}ff:fe${d}:${e}${f}`;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

/** One machine of a topology: programs run in its network namespace. */
export class Host {
  /** The name `ip netns` knows it by. */
  readonly namespace: string;
  readonly interfaces: readonly Interface[];
  readonly #running = new Set<Running>();

  constructor(namespace: string, interfaces: readonly Interface[]) {
    this.namespace = namespace;
    this.interfaces = interfaces;
  }

  /** The addresses of its first interface. */
  get address4(): string {
    return this.interfaces[0]!.address4;
  }

  get address6(): string {
    return this.interfaces[0]!.address6;
  }

  /** Starts a program; it is stopped at the latest when the topology closes. Its pid is the program's own. */
  spawn(argv: readonly string[], options: RunOptions = {}): Running {
    const running = new Running(['ip', 'netns', 'exec', this.namespace, ...argv], options);
    this.#running.add(running);
    running.ended.finally(() => this.#running.delete(running)).catch(() => {});
    return running;
  }

  /** Runs a program to its end. Throws, with what it wrote to stderr, when it fails or takes too long. */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<Ended> {
    return this.spawn(argv, options).end(options);
  }

  /** Stops what `spawn` started here; called by the topology's `close`. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.stop().catch(() => {})));
  }
}

/** Kills everything that runs in the namespaces (daemons leave their starter) and deletes them; synchronous, for exit handlers. */
function removeNamespaces(namespaces: readonly string[]): void {
  for (const namespace of namespaces) {
    const pids = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' }).stdout ?? '';
    for (const pid of pids.split('\n').filter(Boolean).map(Number)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    }
    // While the namespace is there, its number is nobody else's.
    const lock = guardLock(`/run/netns/${namespace}`);
    if (lock !== undefined) rmSync(`${lock}.lock`, { force: true });
    spawnSync('ip', ['netns', 'delete', namespace], { stdio: 'ignore' });
    live.delete(namespace);
  }
}

/** Removes namespaces whose maker, named in them, no longer runs. */
function removeLeftovers(): void {
  const list = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout ?? '';
  const names = list.split('\n').map((line) => line.split(' ')[0]!);
  removeNamespaces(names.filter((name) => /^postern-\d+-\d+-/.test(name) && !isAlive(Number(name.split('-')[1]))));
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

function cleanUpAtExit(): void {
  process.on('exit', () => removeNamespaces([...live]));
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ] as const) {
    process.on(signal, () => process.exit(128 + number));
  }
}
