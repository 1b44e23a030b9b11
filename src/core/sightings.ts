/**
 * Who touched what, in the watcher: packets that open a connection, or belong to none by their flags, to a trap, to a protected port or to a port where nothing is, added
 * up by source between two tellings. Strangers choose how many sources there are, so this is a table of fixed size (sets of four,
 * by a keyed hash): a newcomer takes the place of the source of the least weight in his set when he did more than that lately, by a sketch
 * (`weight-sketch.ts`) that outlives the tellings. So a flood of forged sources hides nobody who does more than each of them.
 *
 * - A step of a knock is no evidence, nor is a public port.
 * - A retransmission (same source, ports and sequence number) counts once.
 * - How many different ports a source touched is counted over all tellings (`port-tally.ts`).
 */

import { type Address, sameAddress } from './address.ts';
import { DistinctCount } from './distinct-count.ts';
import type { Protocol } from './door.ts';
import { type HashSeed, keyedHash } from './keyed-hash.ts';
import { PortTally } from './port-tally.ts';
import { WeightSketch } from './weight-sketch.ts';

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
  /** How many different ports since the watcher began, or at least so many. */
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

const WEIGHTS: Readonly<Record<Touch, number>> = { trap: 5, closed: 2, unused: 1 };

interface Slot {
  source: Address;
  traps: number;
  closed: number;
  unused: number;
  weight: number;
  readonly ports: { protocol: Protocol; port: number; touch: Touch }[];
  distinct: number;
}

export class Sightings {
  readonly #seed: HashSeed;
  readonly #slots: (Slot | undefined)[] = new Array<undefined>(WAYS * SETS).fill(undefined);
  readonly #recent = new Int32Array(RECENT);
  readonly #recentAt = new Float64Array(RECENT).fill(Number.NEGATIVE_INFINITY);
  readonly #sources: DistinctCount;
  readonly #tally = new PortTally();
  readonly #lately: WeightSketch;
  #packets = 0;
  #filled = 0;

  constructor(seed: HashSeed) {
    this.#seed = seed;
    this.#sources = new DistinctCount(seed);
    this.#lately = new WeightSketch(seed);
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
    const weight = WEIGHTS[touch];
    const lately = this.#lately.add(hash, weight);
    const distinct = this.#tally.note(hash, source, packet, lately === weight, now);
    const slot = this.#slot(hash, source, lately);
    if (!slot) return true;
    slot.distinct = distinct;
    if (touch === 'trap') slot.traps++;
    else slot[touch]++;
    notePort(slot.ports, touch, packet);
    return true;
  }

  /** What is to be told, the weightiest first, and begins anew. */
  take(): Sighting[] {
    const slots = this.#slots.filter((slot) => slot !== undefined).sort((x, y) => y.weight - x.weight);
    this.#slots.fill(undefined);
    this.#filled = 0;
    this.#lately.halve();
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

  /** The source's slot; undefined where others in its set do as much. `weight` is what it did lately. */
  #slot(hash: number, source: Address, weight: number): Slot | undefined {
    const first = (hash & (SETS - 1)) * WAYS;
    let least = first;
    for (let at = first; at < first + WAYS; at += 1) {
      const slot = this.#slots[at];
      if (slot === undefined) {
        least = at;
        break;
      }
      if (sameAddress(slot.source, source)) {
        slot.weight = weight;
        return slot;
      }
      if (slot.weight < this.#slots[least]!.weight) least = at;
    }
    const given = this.#slots[least];
    if (given && given.weight >= weight) return undefined;
    if (!given) this.#filled++;
    const slot: Slot = { source, traps: 0, closed: 0, unused: 0, weight, ports: [], distinct: 0 };
    this.#slots[least] = slot;
    return slot;
  }
}

/** The ports that weigh most come first, and stay. */
function notePort(ports: Slot['ports'], touch: Touch, { protocol, port }: PortName): void {
  if (ports.some((known) => known.port === port && known.protocol === protocol)) return;
  const at = ports.findIndex((known) => WEIGHTS[known.touch] < WEIGHTS[touch]);
  if (at >= 0) ports.splice(at, 0, { protocol, port, touch });
  else ports.push({ protocol, port, touch });
  if (ports.length > MOST_PORTS) ports.pop();
}

interface PacketTail {
  readonly sourcePort: number;
  readonly sequence: number;
}

function tell({ source, traps, closed, unused, ports, distinct }: Slot): Sighting {
  const names = ports.map(({ protocol, port }) => ({ protocol, port }));
  return { source, traps, closed, unused, ports: names, distinct: Math.max(ports.length, distinct) };
}
