/**
 * What the keeper asks of a firewall: close these ports, open one for a source until its time. One port; nftables, iptables with ipset,
 * pf, ipfw and the administrator's own command implement it, and one contract test holds them to it.
 *
 * A grant is one element with a time of its own where the kernel can (`expires`), else the keeper closes it by timer.
 * Every operation is done when its promise resolves, and rejects with a `FirewallError` when the firewall refused: nothing is
 * half open. Operations may be asked for at any rate; a driver keeps their order.
 */

import type { Address } from '../core/address.ts';
import type { Protocol } from '../core/door.ts';
import type { DoorPolicy, PortRange, Prefix } from '../core/policy.ts';
import type { HostAnswers } from './answers.ts';
import type { FlowLabels } from './flow-labels.ts';

/**
 * What a closed port looks like: nothing answers (`drop`), it refuses as a host without a firewall does (`reset`), new connections are
 * handed to an unused port of the host (`mirror`), or we answer what the host's rules were seen to answer there (`auto`).
 */
export type Face = 'drop' | 'reset' | 'mirror' | 'auto';

export interface Guard {
  readonly doors: readonly DoorPolicy[];
  readonly face: Face;
  /**
   * What this host answers at unused ports: to everything with `auto`; with `mirror`, to what can not be handed to the host itself
   * (UDP, stray TCP segments). Nothing unless said.
   */
  readonly closed?: HostAnswers;
  /** How the kernel of this host labels resets over IPv6; ours are to have such labels where it would answer by itself. For nftables. */
  readonly labels?: FlowLabels;
  /** IPv6 sources are kept by their network of this many bits (64 unless configured). */
  readonly ipv6Prefix: number;
  /** Sources that every door is open for, and that no ban holds up. */
  readonly trusted: readonly Prefix[];
  /** Nothing is dropped. What is opened, banned and allowed is kept for the installation that guards. */
  readonly observe: boolean;
  /**
   * The local TCP port that TCP of banned sources to this host is led to, whatever port they ask for; it is closed for everybody else.
   * Without it they are dropped. For nftables and iptables; other drivers take no notice.
   */
  readonly tarpit?: number;
  /** Ports whose visitors are written down (`tried()`), and nothing else done to them. */
  readonly traps?: readonly PortRange[];
}

export interface Grant {
  readonly door: string;
  /** In answers of `list()`, an IPv6 source is the first address of its network. */
  readonly source: Address;
  /** Milliseconds from now; `Infinity` in answers of `list()` for what an administrator added by hand without a time. */
  readonly remaining: number;
  /** Who and how, for people who list the kernel's tables: printable ASCII, at most 100 characters. */
  readonly comment: string;
}

/** A source that is banned or allowed until its time. */
export interface TimedSource {
  /** In answers of `list()`, an IPv6 source is the first address of its network. */
  readonly source: Address;
  /** Milliseconds from now; `Infinity` in answers of `list()` where none is kept. */
  readonly remaining: number;
}

/**
 * What the capture cannot tell from traffic, and the firewall can: a datagram to a protected port that was refused, or an ACK of no session to a
 * protected port or a trap.
 */
export interface Try {
  readonly source: Address;
  readonly protocol: Protocol;
  readonly port: number;
  /** Milliseconds until the firewall forgets it, a minute after the first packet. */
  readonly remaining: number;
}

/** What stands in the kernel. */
export interface Standing {
  readonly grants: readonly Grant[];
  readonly bans: readonly TimedSource[];
  readonly allowed: readonly TimedSource[];
}

export interface FirewallDriver {
  readonly name: string;
  /** The kernel ends grants by itself, whatever becomes of us. */
  readonly expires: boolean;
  /** Milliseconds that the kernel can count: what is banned or allowed for longer, the keeper puts in again in time. */
  readonly longest?: number;
  /**
   * Puts the guard in force, in one step: the first time, or instead of the one that is there. Grants, bans and who is allowed survive;
   * grants of doors that are gone do not. Sessions that live when a port is first guarded go on. Resolves to whether a guard of ours
   * stood before, with its grants.
   */
  install(guard: Guard): Promise<boolean>;
  /** Opens a door for a source, or begins the time of its grant anew. */
  open(grant: Grant): Promise<void>;
  /** Ends a grant; sessions are treated as the door's `close` says. Ending what has ended is no error. */
  close(door: string, source: Address): Promise<void>;
  /**
   * Drops what a source begins, and has begun, until the time is over; where the kernel knows who began, its answers to connections of ours come
   * in (packets in its name may have banned it). Banning again begins anew.
   */
  ban(ban: TimedSource): Promise<void>;
  unban(source: Address): Promise<void>;
  /** Opens every door for a source until the time is over, whatever bans say. Allowing again begins anew. */
  allow(allowed: TimedSource): Promise<void>;
  disallow(source: Address): Promise<void>;
  /** What stands in the kernel now, to be reconciled with what should. */
  list(): Promise<Standing>;
  /** What was tried in vain within the last minute, each source and port once, of a bounded number. Not every firewall can tell. */
  tried?(): Promise<readonly Try[]>;
  /** Takes guard and grants away altogether: every port is as if we had never been. */
  remove(): Promise<void>;
  /** Calls `lost` when somebody else removed or changed the guard; the keeper installs it again. */
  watch(lost: () => void): { close(): void };
  /** Releases sockets and helpers; the guard stays. */
  stop(): Promise<void>;
}

/** The firewall refused, in words for the administrator. */
export class FirewallError extends Error {
  override readonly name = 'FirewallError';
}
