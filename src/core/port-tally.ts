/**
 * How many different ports each source has touched, in bounded memory: up to 16 by a list, beyond by a bitmap of all ports of both protocols.
 *
 * - 1,024 sources (sets of four, by a keyed hash): who was idle for ten minutes gives way first, then who touched the fewest, and to nobody
 *   who comes for the first time: forged sources do, and find no place.
 * - 128 bitmaps of 16 KiB, 2 MiB in all, made when they are needed: where all are in use, the one that was touched longest ago changes hands.
 * - So a number is exact while its source has its place, and never too high: who lost a place or a bitmap keeps or begins a smaller one.
 */

import { type Address, sameAddress } from './address.ts';
import type { PortName } from './sightings.ts';

const WAYS = 4;
const SETS = 256;
const FEW = 16;
const MAPS = 128;
const WORDS = (2 * 0x10000) / 32;
const IDLE = 600_000;

interface Entry {
  readonly source: Address;
  /** While there is no map. */
  readonly few: number[];
  map: Uint32Array | undefined;
  /** Bits of the map that are on. */
  bits: number;
  count: number;
  last: number;
}

export class PortTally {
  readonly #entries: (Entry | undefined)[] = new Array<undefined>(WAYS * SETS).fill(undefined);
  /** Who has a map. */
  readonly #holders: Entry[] = [];

  /**
   * Notes a port; how many different ones there are of its source by now. `hash` is the source's, `isNew` that nothing was seen of it lately;
   * `now` is monotonic.
   */
  note(hash: number, source: Address, { protocol, port }: PortName, isNew: boolean, now: number): number {
    const entry = this.#entry(hash, source, isNew, now);
    if (!entry) return 1;
    entry.last = now;
    const code = protocol === 'tcp' ? port : 0x10000 | port;
    if (!entry.map) {
      if (entry.few.includes(code)) return entry.count;
      if (entry.few.length < FEW) {
        entry.few.push(code);
        entry.count = Math.max(entry.count, entry.few.length);
        return entry.count;
      }
      entry.map = this.#map(entry);
      entry.bits = 0;
      for (const known of entry.few) setBit(entry, known);
    }
    setBit(entry, code);
    entry.count = Math.max(entry.count, entry.bits);
    return entry.count;
  }

  #entry(hash: number, source: Address, isNew: boolean, now: number): Entry | undefined {
    const first = (hash & (SETS - 1)) * WAYS;
    let least = first;
    for (let at = first; at < first + WAYS; at += 1) {
      const entry = this.#entries[at];
      if (!entry) {
        least = at;
        break;
      }
      if (sameAddress(entry.source, source)) return entry;
      if (isLess(entry, this.#entries[least]!, now)) least = at;
    }
    const given = this.#entries[least];
    if (given && isNew && !isIdle(given, now)) return undefined;
    this.#release(given);
    const entry: Entry = { source, few: [], map: undefined, bits: 0, count: 0, last: now };
    this.#entries[least] = entry;
    return entry;
  }

  /** A map for this source; another's, when there are enough. */
  #map(entry: Entry): Uint32Array {
    const { length } = this.#holders;
    this.#holders.push(entry);
    if (length < MAPS) return new Uint32Array(WORDS);
    let oldest = 0;
    for (let at = 1; at < length; at += 1) if (this.#holders[at]!.last < this.#holders[oldest]!.last) oldest = at;
    const holder = this.#holders[oldest]!;
    const map = holder.map!;
    this.#release(holder);
    return map.fill(0);
  }

  /** Who lost his map keeps his number, and begins to count anew below it. */
  #release(holder: Entry | undefined): void {
    if (!holder?.map) return;
    this.#holders.splice(this.#holders.indexOf(holder), 1);
    holder.map = undefined;
    holder.bits = 0;
    holder.few.length = 0;
  }
}

function isIdle({ last }: Entry, now: number): boolean {
  return now - last > IDLE;
}

/** Does the one give way before the other? */
function isLess(one: Entry, other: Entry, now: number): boolean {
  const counts = [one, other].map((entry) => (isIdle(entry, now) ? 0 : entry.count)) as [number, number];
  return counts[0] < counts[1] || (counts[0] === counts[1] && one.last < other.last);
}

function setBit(entry: Entry, code: number): void {
  const map = entry.map!;
  const bit = 1 << (code & 31);
  const word = map[code >>> 5]!;
  if ((word & bit) !== 0) return;
  map[code >>> 5] = word | bit;
  entry.bits += 1;
}
