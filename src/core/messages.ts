/**
 * The two local vocabularies, one JSON object a line: what the keeper tells the watcher, and what the watcher proposes to the keeper.
 *
 * The watcher may be captured, so its lines are strangers' bytes to the keeper: `decodeReport` is strict (known type, exact
 * fields, bounded numbers, one line of at most 2,048 characters) and returns undefined for anything else, which ends that
 * watcher. Addresses travel as text and are parsed again. A `revision` is the number of a door's knock, new whenever it changes: a
 * proposal made under an older one is void.
 */

import { type Address, parseAddress, printAddress } from './address.ts';
import type { Door } from './door.ts';
import type { FailReason, KnockEvent } from './events.ts';
import { DROP_REASONS, type DropReason } from './packet.ts';
import type { PortRange } from './policy.ts';
import { MOST_PORTS, type PortName, type Sighting } from './sightings.ts';

export const LONGEST_REPORT = 2048;

/** Ports that strangers give themselves away by. A TCP port counts when it gets what no open connection sends. */
export interface WatchedPorts {
  /** No honest client touches them. */
  readonly traps: readonly PortRange[];
  /** What doors protect, TCP only. */
  readonly closed: readonly PortRange[];
}

/** Keeper to watcher. */
export type Order =
  | {
      readonly type: 'configure';
      readonly doors: readonly Door[];
      /** Of each door: the number of its knock, which proposals name. */
      readonly revisions: readonly number[];
      /** Local addresses; packets to others only count for doors with that target. */
      readonly addresses: readonly Address[] | 'any';
      /** TCP ports whose connections are nobody's stray. The filter may let them through: it only saves work. */
      readonly publicPorts: readonly number[];
      readonly ipv6: boolean;
      /** Report every decoded packet, for `-D`. */
      readonly packets: boolean;
      /** Whose visitors are told of; nobody's without. */
      readonly watched?: WatchedPorts;
    }
  | { readonly type: 'addresses'; readonly addresses: readonly Address[] }
  | { readonly type: 'public-ports'; readonly publicPorts: readonly number[] }
  /** A one-time door's next sequence. Raises the revision like a new configuration, but leaves other doors' attempts alone. */
  | { readonly type: 'door'; readonly revision: number; readonly index: number; readonly door: Door }
  /** An opening from a capture file has been dealt with, by whatever order was sent before. One for each. */
  | { readonly type: 'read-on' }
  /** Are you still there? Answered by `alive` with the same number. */
  | { readonly type: 'ping'; readonly number: number };

/** What the watcher is shut into, as it found out itself. */
export interface Confinement {
  /** Landlock ABI in force; undefined when the kernel has none. */
  readonly landlock: number | undefined;
  readonly seccomp: boolean;
  readonly uid: number;
  /** What could not be had, in words. */
  readonly notes: readonly string[];
}

export interface Counts {
  /** From the kernel: packets that passed the filter, and packets lost because the ring was full. */
  readonly received: number;
  readonly lost: number;
  readonly drops: Readonly<Partial<Record<DropReason, number>>>;
  /** Stage lines that were not reported because there were too many. */
  readonly suppressed: number;
  /** Live attempts. */
  readonly attempts: number;
  /** Packets that were no knock and gave their sender away, and an estimate of how many sources sent them. */
  readonly sighted: number;
  readonly strangers: number;
}

/** Watcher to keeper. */
export type Report =
  /** Shut in, and reading. */
  | { readonly type: 'ready'; readonly confinement: Confinement }
  | { readonly type: 'knock'; readonly revision: number; readonly event: KnockEvent }
  /** One packet, for `-D`: milliseconds since the epoch, bytes of the frame. */
  | {
      readonly type: 'packet';
      readonly time: number;
      readonly protocol: string;
      readonly from: string;
      readonly to: string;
      readonly length: number;
    }
  | { readonly type: 'sighted'; readonly sighting: Sighting }
  | { readonly type: 'counts'; readonly counts: Counts }
  | { readonly type: 'alive'; readonly number: number }
  /** A capture file was read to its end. */
  | { readonly type: 'ended' }
  /** The capture source failed, in words. */
  | { readonly type: 'failed'; readonly reason: string };

/** What a watcher has to say of its own accord. */
export type News = Exclude<Report, { readonly type: 'alive' }>;

export function encodeOrder(order: Order): string {
  return `${JSON.stringify(order)}\n`;
}

/** The keeper is trusted: its lines are taken as they are. */
export function decodeOrder(line: string): Order {
  return JSON.parse(line) as Order;
}

export function encodeReport(report: Report): string {
  return `${JSON.stringify(toPlain(report))}\n`;
}

function toPlain(report: Report): object {
  switch (report.type) {
    case 'knock':
      return { ...report, event: { ...report.event, source: printAddress(report.event.source) } };
    case 'sighted':
      return { ...report, sighting: { ...report.sighting, source: printAddress(report.sighting.source) } };
    default:
      return report;
  }
}

/** Reads one line from the watcher; undefined when it is not exactly one of the reports. */
export function decodeReport(line: string): Report | undefined {
  if (line.length > LONGEST_REPORT) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  switch (value.type) {
    case 'ready': {
      const confinement = readConfinement(value.confinement);
      return confinement && hasOnly(value, ['type', 'confinement']) ? { type: 'ready', confinement } : undefined;
    }
    case 'knock': {
      const event = readEvent(value.event);
      const { revision } = value;
      if (!event || !isCount(revision) || !hasOnly(value, ['type', 'revision', 'event'])) return undefined;
      return { type: 'knock', revision, event };
    }
    case 'packet': {
      const { time, protocol, from, to, length } = value;
      if (!hasOnly(value, ['type', 'time', 'protocol', 'from', 'to', 'length'])) return undefined;
      if (!isFiniteNumber(time) || (protocol !== 'tcp' && protocol !== 'udp') || !isCount(length)) return undefined;
      if (!isEndpoint(from) || !isEndpoint(to)) return undefined;
      return { type: 'packet', time, protocol, from, to, length };
    }
    case 'sighted': {
      const sighting = readSighting(value.sighting);
      return sighting && hasOnly(value, ['type', 'sighting']) ? { type: 'sighted', sighting } : undefined;
    }
    case 'counts': {
      const counts = readCounts(value.counts);
      return counts && hasOnly(value, ['type', 'counts']) ? { type: 'counts', counts } : undefined;
    }
    case 'alive': {
      const { number } = value;
      return isCount(number) && hasOnly(value, ['type', 'number']) ? { type: 'alive', number } : undefined;
    }
    case 'ended':
      return hasOnly(value, ['type']) ? { type: 'ended' } : undefined;
    case 'failed': {
      const { reason } = value;
      return isText(reason, 500) && hasOnly(value, ['type', 'reason']) ? { type: 'failed', reason } : undefined;
    }
    default:
      return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasOnly(value: Fields, names: readonly string[]): boolean {
  return Object.keys(value).every((name) => names.includes(name));
}

function isFiniteNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Printable ASCII only: what comes from the watcher ends up in logs and on terminals. */
function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length <= longest && /^[\x20-\x7e]*$/.test(value);
}

function isEndpoint(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 52 && /^[0-9a-f.:]+:[0-9]+$/.test(value);
}

function readConfinement(value: unknown): Confinement | undefined {
  if (!isRecord(value) || !hasOnly(value, ['landlock', 'seccomp', 'uid', 'notes'])) return undefined;
  const { landlock, seccomp, uid, notes } = value;
  if (landlock !== undefined && !isCount(landlock)) return undefined;
  if (typeof seccomp !== 'boolean' || !isCount(uid)) return undefined;
  if (!Array.isArray(notes) || notes.length > 20 || !notes.every((note) => isText(note, 200))) return undefined;
  return { landlock, seccomp, uid, notes };
}

function readSighting(value: unknown): Sighting | undefined {
  if (!isRecord(value)) return undefined;
  if (!hasOnly(value, ['source', 'traps', 'closed', 'unused', 'ports', 'distinct'])) return undefined;
  const { traps, closed, unused, ports, distinct } = value;
  const source = typeof value.source === 'string' ? parseAddress(value.source) : undefined;
  if (!source || !isCount(traps) || !isCount(closed) || !isCount(unused) || !isCount(distinct)) return undefined;
  if (!Array.isArray(ports) || ports.length > MOST_PORTS || !ports.every(isPortName)) return undefined;
  return { source, traps, closed, unused, ports, distinct };
}

function isPortName(value: unknown): value is PortName {
  if (!isRecord(value) || !hasOnly(value, ['protocol', 'port'])) return false;
  const { protocol, port } = value;
  return (protocol === 'tcp' || protocol === 'udp') && isCount(port) && port <= 0xffff;
}

const FAIL_REASONS: readonly FailReason[] = ['strays', 'order', 'evicted'];

function readEvent(value: unknown): KnockEvent | undefined {
  if (!isRecord(value)) return undefined;
  const { type, door } = value;
  const source = typeof value.source === 'string' ? parseAddress(value.source) : undefined;
  if (!source || !isCount(door)) return undefined;
  if (type === 'opened') return hasOnly(value, ['type', 'door', 'source']) ? { type, door, source } : undefined;
  const { stage } = value;
  if (!isCount(stage) || stage < 1 || stage > 32) return undefined;
  if (type === 'advanced' || type === 'expired') {
    return hasOnly(value, ['type', 'door', 'source', 'stage']) ? { type, door, source, stage } : undefined;
  }
  const reason = FAIL_REASONS.find((known) => known === value.reason);
  if (type !== 'failed' || !reason || !hasOnly(value, ['type', 'door', 'source', 'stage', 'reason'])) return undefined;
  return { type, door, source, stage, reason };
}

const COUNTED = ['received', 'lost', 'suppressed', 'attempts', 'sighted', 'strangers'];

function readCounts(value: unknown): Counts | undefined {
  if (!isRecord(value)) return undefined;
  const { drops, ...numbers } = value;
  if (!hasOnly(numbers, COUNTED) || !isRecord(drops)) return undefined;
  const { received, lost, suppressed, attempts, sighted, strangers } = numbers;
  if (!isCount(received) || !isCount(lost) || !isCount(suppressed) || !isCount(attempts)) return undefined;
  if (!isCount(sighted) || !isCount(strangers)) return undefined;
  if (!hasOnly(drops, DROP_REASONS) || !Object.values(drops).every(isCount)) return undefined;
  return { received, lost, drops: drops as Counts['drops'], suppressed, attempts, sighted, strangers };
}
