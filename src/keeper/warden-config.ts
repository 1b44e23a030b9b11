/** What the warden reads out of a configuration: where to listen, for which doors, what is nobody's stray, what a reload cannot change. */

import type { PosternConfig } from '../config/postern-config.ts';
import { Refusal } from '../control/controlled.ts';
import { type Address, family } from '../core/address.ts';
import type { Protocol } from '../core/door.ts';
import type { WatchedPorts } from '../core/messages.ts';
import type { DoorPolicy, PortRange } from '../core/policy.ts';
import type { Guard } from '../firewall/driver.ts';
import { defaultRouteInterfaces } from '../platform/default-route.ts';
import type { KnockedDoor } from './keeper.ts';

export type NativeDoor = KnockedDoor & { readonly policy: DoorPolicy };

export function countDoors({ doors }: PosternConfig): string {
  return `${doors.length} door${doors.length === 1 ? '' : 's'}`;
}

/** How many bits of a source its grant or ban is for, where that is not the whole address; to be spread. */
export function prefixOf(source: Address, ipv6Prefix: number): { readonly prefix?: number } {
  return family(source) === 6 && ipv6Prefix < 128 ? { prefix: ipv6Prefix } : {};
}

/** The configured ones, or those that lead out, or all. */
export function interfacesOf(config: PosternConfig): readonly string[] {
  const { interfaces } = config.capture;
  const chosen = interfaces.length > 0 ? interfaces : defaultRouteInterfaces();
  return chosen.length > 0 ? chosen : ['any'];
}

/** The doors whose knocks the watcher recognizes. */
export function nativeDoors(config: PosternConfig): readonly NativeDoor[] {
  return config.doors.flatMap((door) =>
    door.knock && door.engine === 'daemon' ? [{ name: door.name, knock: door.knock, policy: door }] : [],
  );
}

/**
 * What an honest client may touch besides listening ports: the configured ones, and the doors themselves. A door of many ports is left out:
 * whoever scans those is no honest client, and two strays are forgiven anyway.
 */
export function publicPorts(config: PosternConfig): readonly number[] {
  const doors = config.doors
    .flatMap((door) => door.protect)
    .filter(({ first, last }) => last - first < MOST_DOOR_PORTS);
  return [...config.publicPorts, ...doors].filter((range) => range.protocol === 'tcp').flatMap(portsIn);
}

/**
 * Whose visitors the watcher tells of. Datagrams to a protected port are for the most part those of its sessions: which of them were refused, the
 * firewall says (`tries.ts`).
 */
export function watchedPorts({ traps, doors }: PosternConfig): WatchedPorts {
  const closed = doors.flatMap((door) => door.protect).filter(({ protocol }) => protocol === 'tcp');
  return { traps, closed };
}

/** What the firewall is to guard; the face and the tarpit are found out. */
export function guardOf({
  doors,
  firewall,
  allow,
  mode,
  traps,
}: PosternConfig): Omit<Guard, 'face' | 'closed' | 'tarpit'> {
  return { doors, ipv6Prefix: firewall.ipv6Prefix, trusted: allow, observe: mode === 'observe', traps };
}

/** What a port is to whom the firewall refused; a step of a knock is no evidence. */
export function touchOf(
  { protocol, port }: { readonly protocol: Protocol; readonly port: number },
  { traps, doors }: PosternConfig,
): 'trap' | 'closed' | undefined {
  const isIn = (range: PortRange): boolean => range.protocol === protocol && range.first <= port && port <= range.last;
  const steps = doors.flatMap(({ knock }) => knock?.steps ?? []);
  if (steps.some((step) => step.protocol === protocol && step.port === port)) return undefined;
  if (traps.some(isIn)) return 'trap';
  return doors.some(({ protect }) => protect.some(isIn)) ? 'closed' : undefined;
}

/** Those, and the ports with a public listener, ascending. */
export function openPorts(listening: readonly number[], config: PosternConfig): readonly number[] {
  return [...new Set([...listening, ...publicPorts(config)])].sort((x, y) => x - y);
}

const MOST_DOOR_PORTS = 16;

function portsIn({ first, last }: PortRange): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** What differs between two configurations and only a new start puts in force, as the file calls it. */
export function changedFixedParts(before: PosternConfig, after: PosternConfig): readonly string[] {
  const parts = ({ state, control, firewall }: PosternConfig): ReadonlyMap<string, string> =>
    new Map([
      ['dir in [state]', state.dir],
      ['socket in [control]', control.socket],
      ['driver in [firewall]', firewall.driver],
      ['ipv6_prefix in [firewall]', String(firewall.ipv6Prefix)],
    ]);
  const wanted = parts(after);
  return [...parts(before)].filter(([name, value]) => wanted.get(name) !== value).map(([name]) => name);
}

/** Grants that stand are kept by networks of the old length: with another one, nobody could close them. */
export function withPrefixOf({ firewall: { ipv6Prefix } }: PosternConfig, config: PosternConfig): PosternConfig {
  return { ...config, firewall: { ...config.firewall, ipv6Prefix } };
}

/** A door that somebody asks for. Throws a `Refusal` that names those there are. */
export function doorNamed(name: string, { doors }: PosternConfig): DoorPolicy {
  const door = doors.find((each) => each.name === name);
  if (door) return door;
  const there = doors.length === 1 ? 'is' : 'are';
  throw new Refusal(
    `There is no door "${name}": there ${there} ${doors.map((each) => each.name).join(', ') || 'none'}`,
  );
}
