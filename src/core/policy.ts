/**
 * A door that the kernel closes: what it protects, for how long and for whom it opens, and how it is knocked on. Both
 * configurations (postern.toml, and knockd.conf where it can) lower onto this; keeper and firewall drivers work from it.
 */

import { type Address, family, printAddress } from './address.ts';
import type { Door, Protocol } from './door.ts';

/** Ports `first` to `last` of one protocol, 1-65535, both included. */
export interface PortRange {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
}

/** An address block. `length` counts bits of its family: 0-32 for IPv4, 0-128 for IPv6. The bits behind are zero. */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

/**
 * What becomes of sessions when a grant ends: they go on (`keep`), they stall until the next knock (`cut`), or they are reset (`kill`).
 */
export type CloseMode = 'keep' | 'cut' | 'kill';

/** Programs of the administrator's, run without a shell: an argv each. */
export interface Hooks {
  readonly onOpen?: readonly string[];
  readonly onClose?: readonly string[];
  /** Milliseconds before a hook is killed. */
  readonly timeLimit: number;
}

/** What no door is called: lines of the log begin with these words, and a reader has to know what a line is about. */
export const RESERVED_NAMES: readonly string[] = ['warning', 'error', 'note', 'hint', 'started', 'stopped'];

export interface DoorPolicy {
  /** Letters, digits, `_` and `-`, 1-32 characters, first a letter: it names sets in the kernel. Unique. */
  readonly name: string;
  readonly protect: readonly PortRange[];
  /** Milliseconds that a grant lasts. */
  readonly openFor: number;
  /** A knock during a grant begins its time anew; otherwise it is ignored. */
  readonly renew: boolean;
  readonly close: CloseMode;
  /** Who may knock at all; empty is everybody. `deny` wins. */
  readonly allow: readonly Prefix[];
  readonly deny: readonly Prefix[];
  /** Grants at the same time, at most. */
  readonly limit?: number;
  readonly hooks: Hooks;
  /** How it is knocked on; a door without one is opened by hand only. Has the same name. */
  readonly knock?: Door;
}

/** Is the address in the block? */
export function contains(prefix: Prefix, address: Address): boolean {
  if (family(prefix.address) !== family(address)) return false;
  const bits = prefix.length + (family(address) === 4 ? 96 : 0);
  const words = [
    [prefix.address.a, address.a],
    [prefix.address.b, address.b],
    [prefix.address.c, address.c],
    [prefix.address.d, address.d],
  ] as const;
  return words.every(([x, y], index) => {
    const left = bits - index * 32;
    if (left <= 0) return true;
    return ((x ^ y) & (left >= 32 ? -1 : -1 << (32 - left))) === 0;
  });
}

/** The blocks without those that are inside another, each once. */
export function widestPrefixes(prefixes: readonly Prefix[]): Prefix[] {
  const widest: Prefix[] = [];
  for (const prefix of [...prefixes].sort((x, y) => x.length - y.length)) {
    if (!widest.some((wide) => contains(wide, prefix.address))) widest.push(prefix);
  }
  return widest;
}

/** The first address of the block of `length` bits (of its family) that the address is in: what firewalls keep IPv6 sources by. */
export function networkOf(address: Address, length: number): Address {
  const bits = length + (family(address) === 4 ? 96 : 0);
  const kept = (word: number, index: number): number => {
    const left = bits - index * 32;
    if (left <= 0) return 0;
    return left >= 32 ? word : word & (-1 << (32 - left));
  };
  return { a: kept(address.a, 0), b: kept(address.b, 1), c: kept(address.c, 2), d: kept(address.d, 3) };
}

/** What is done to a source is done to this block: its address over IPv4, its network of `ipv6Prefix` bits over IPv6. */
export function blockOf(source: Address, ipv6Prefix: number): Prefix {
  const length = family(source) === 4 ? 32 : ipv6Prefix;
  return { address: networkOf(source, length), length };
}

/** `192.0.2.7`, `192.0.2.0/24`: as firewalls write it. */
export function printPrefix({ address, length }: Prefix): string {
  const whole = family(address) === 4 ? 32 : 128;
  return length === whole ? printAddress(address) : `${printAddress(address)}/${length}`;
}

/** May this source open the door? */
export function admits(door: Pick<DoorPolicy, 'allow' | 'deny'>, source: Address): boolean {
  if (door.deny.some((prefix) => contains(prefix, source))) return false;
  return door.allow.length === 0 || door.allow.some((prefix) => contains(prefix, source));
}
