/**
 * Who touched what, in the watcher: packets that open a connection, or belong to none by their flags, to a trap, to a protected port or to a port where nothing is, added
 * up by source between two tellings. Strangers choose how many sources there are, so this is a table of fixed size (sets of four,
 * by a keyed hash): the source of the least weight in a set gives way, and what is not told of is counted.
 *
 * - A step of a knock is no evidence, nor is a public port.
 * - A retransmission (same source, ports and sequence number) counts once.
 * - How many different ports a source touched is exact up to eight and an estimate beyond (a bitmap, linear counting: Whang et al. 1990).
 */

import { type Address, sameAddress } from './address.ts';
import { DistinctCount } from './distinct-count.ts';
import type { Protocol } from './door.ts';
import { type HashSeed, keyedHash } from './keyed-hash.ts';

/** What kind of port was touched. */
export type Touch = 'trap' | 'closed' | 'unused';

export interface PortName {
  readonly protocol: Protocol;
  readonly port: number;
}

/** What one source did since it was told of last. */
export interface Sighting {
  readonly source: Address;
  /** Packets to each kind of port. */
  readonly traps: number;
  readonly closed: number;
  readonly unused: number;
  /** Up to eight of the ports, traps and protected ones first. */
  readonly ports: readonly PortName[];
  /** How many different ports, at least as many as `ports` has. */
  readonly distinct: number;
}

export const MOST_PORTS = 8;
/** Sources that one telling names. */
export const MOST_TOLD = 64;

const WAYS = 4;
const SETS = 256;
/** Retransmissions that are known again; a SYN is sent again for about two minutes (RFC 6298 § 2, Linux tcp_syn_retries). */
const RECENT = 8192;
const RETRANSMITTED_FOR = 130_000;
const BITS = 64;

const WEIGHTS: Readonly<Record<Touch, number>> = { trap: 5, closed: 2, unused: 1 };

interface Slot {
  source: Address;
  traps: number;
  closed: number;
  unused: number;
  weight: number;
  readonly ports: { protocol: Protocol; port: number; touch: Touch }[];
  low: number;
  high: number;
}

export class Sightings {
  readonly #seed: HashSeed;
  readonly #slots: (Slot | undefined)[] = new Array<undefined>(WAYS * SETS).fill(undefined);
  readonly #recent = new Int32Array(RECENT);
  readonly #recentAt = new Float64Array(RECENT).fill(Number.NEGATIVE_INFINITY);
  readonly #sources: DistinctCount;
  #packets = 0;
  #filled = 0;

  constructor(seed: HashSeed) {
    this.#seed = seed;
    this.#sources = new DistinctCount(seed);
  }

  /** Is nothing to be told? */
  get empty(): boolean {
    return this.#filled === 0;
  }

  /** Everything since the beginning: packets, and an estimate of how many sources sent them. */
  get totals(): { readonly packets: number; readonly sources: number } {
    return { packets: this.#packets, sources: this.#sources.estimate() };
  }

  /** Writes a packet down; false for a retransmission. `now` is monotonic, in milliseconds. */
  note(
    touch: Touch,
    packet: PortName & { readonly source: Address; readonly sourcePort: number; readonly sequence: number },
    now: number,
  ): boolean {
    const { source } = packet;
    const hash = keyedHash(this.#seed, source.a, source.b, source.c, source.d);
    if (this.#isRepeat(hash, packet, now)) return false;
    this.#packets++;
    this.#sources.add(source);
    const slot = this.#slot(hash, source);
    if (touch === 'trap') slot.traps++;
    else slot[touch]++;
    slot.weight += WEIGHTS[touch];
    this.#notePort(slot, touch, packet);
    return true;
  }

  /** What is to be told, the weightiest first, and begins anew. */
  take(): Sighting[] {
    const slots = this.#slots.filter((slot) => slot !== undefined).sort((x, y) => y.weight - x.weight);
    this.#slots.fill(undefined);
    this.#filled = 0;
    return slots.slice(0, MOST_TOLD).map(tell);
  }

  /** What is to be told of one source, before its time; then nothing of it is to be told any more. */
  takeOf(source: Address): Sighting | undefined {
    const { a, b, c, d } = source;
    const first = (keyedHash(this.#seed, a, b, c, d) & (SETS - 1)) * WAYS;
    for (let at = first; at < first + WAYS; at += 1) {
      const slot = this.#slots[at];
      if (!slot || !sameAddress(slot.source, source)) continue;
      this.#slots[at] = undefined;
      this.#filled--;
      return tell(slot);
    }
    return undefined;
  }

  #isRepeat(hash: number, { protocol, port, sourcePort, sequence }: PortName & PacketTail, now: number): boolean {
    // Datagrams have no number to tell a repeated one by.
    if (protocol === 'udp') return false;
    const mark = keyedHash(this.#seed, hash, (sourcePort << 16) | port, sequence, 1);
    const at = (mark >>> 8) % RECENT;
    const repeat = this.#recent[at] === mark && now - this.#recentAt[at]! < RETRANSMITTED_FOR;
    this.#recent[at] = mark;
    this.#recentAt[at] = now;
    return repeat;
  }

  /** The source's slot; a new one takes the place of the least of its set. */
  #slot(hash: number, source: Address): Slot {
    const first = (hash & (SETS - 1)) * WAYS;
    let least = first;
    for (let at = first; at < first + WAYS; at += 1) {
      const slot = this.#slots[at];
      if (slot === undefined) {
        least = at;
        break;
      }
      const { a, b, c, d } = slot.source;
      if (d === source.d && c === source.c && b === source.b && a === source.a) return slot;
      if (slot.weight < this.#slots[least]!.weight) least = at;
    }
    if (this.#slots[least] === undefined) this.#filled++;
    const slot: Slot = { source, traps: 0, closed: 0, unused: 0, weight: 0, ports: [], low: 0, high: 0 };
    this.#slots[least] = slot;
    return slot;
  }

  #notePort(slot: Slot, touch: Touch, { protocol, port }: PortName): void {
    const bit = keyedHash(this.#seed, port, protocol === 'tcp' ? 1 : 2, 0, 2) & (BITS - 1);
    if (bit < 32) slot.low |= 1 << bit;
    else slot.high |= 1 << (bit - 32);
    const { ports } = slot;
    if (ports.some((known) => known.port === port && known.protocol === protocol)) return;
    const at = ports.findIndex((known) => WEIGHTS[known.touch] < WEIGHTS[touch]);
    if (at >= 0) ports.splice(at, 0, { protocol, port, touch });
    else ports.push({ protocol, port, touch });
    if (ports.length > MOST_PORTS) ports.pop();
  }
}

interface PacketTail {
  readonly sourcePort: number;
  readonly sequence: number;
}

function tell({ source, traps, closed, unused, ports, low, high }: Slot): Sighting {
  return {
    source,
    traps,
    closed,
    unused,
    ports: ports.map(({ protocol, port }) => ({ protocol, port })),
    distinct: Math.max(ports.length, ports.length < MOST_PORTS ? 0 : estimate(low, high)),
  };
}

/** Linear counting: of `BITS` bits, those still off tell how many things were thrown at them. A full map says many. */
function estimate(low: number, high: number): number {
  const off = BITS - ones(low) - ones(high);
  return Math.round(-BITS * Math.log(Math.max(off, 0.5) / BITS));
}

function ones(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
