/**
 * Who has been probing, and how much: the keeper's account of sources, in bounded memory. The weightiest are kept exactly; who gives
 * way to others is remembered in a count-min sketch (Cormode, Muthukrishnan 2005), so that a source that comes back does not begin at nothing.
 *
 * The score is a leaky bucket. Points: 1 for a connection to a protected port without a grant and for a knock that failed, 3 for each ten
 * different ports touched (a scan), 5 for a trap; none for a knock that was merely too slow, or right and not admitted. As many points as the limit are forgotten, evenly, in the time `within`.
 * Time is an argument in milliseconds; wall time, since people read it.
 */

import { type Address, printAddress } from './address.ts';
import { type HashSeed, keyedHash } from './keyed-hash.ts';
import type { PortName, Sighting } from './sightings.ts';

export const POINTS = { closed: 1, failed: 1, scan: 3, trap: 5 } as const;

/** Different ports that make a scan, and every further step of one. */
export const SCAN_PORTS = 10;
/** Ports and doors that are remembered of one source. */
const KNOWN_PORTS = 32;
const KNOWN_DOORS = 8;

export interface Attacker {
  readonly source: Address;
  /** Wall time of the first and the latest deed. */
  readonly since: number;
  readonly last: number;
  /** Packets to traps, to protected ports without a grant, to ports where nothing is; how often it was a scan. */
  readonly traps: number;
  readonly closed: number;
  readonly unused: number;
  readonly scans: number;
  /** Knocks that failed, and right ones that opened nothing: the source was not admitted. */
  readonly failed: number;
  readonly denied: number;
  /** Doors that were knocked on in vain, up to 8. */
  readonly doors: readonly string[];
  /** Up to 32 different ports, as they were first touched. */
  readonly ports: readonly PortName[];
  /** How many different ones: the largest number that a sighting told, so at least so many. */
  readonly distinct: number;
  /** In a list as they are at its time; else as they were at the last deed, or since then at another configuration. */
  readonly points: number;
}

export interface AttackersOptions {
  readonly seed: HashSeed;
  /** Sources that are kept exactly. Default 4,096. */
  readonly capacity?: number;
}

/** How fast points are forgotten: `limit` of them in `within` milliseconds. */
export interface Leak {
  readonly limit: number;
  readonly within: number;
}

/** What a deed has come to. */
export interface Verdict {
  readonly attacker: Attacker;
  /** This deed made it a scan, once more. */
  readonly scanned: boolean;
}

type Entry = { -readonly [Key in keyof Attacker]: Attacker[Key] } & {
  ports: PortName[];
  doors: string[];
  weight: number;
  /** When `points` were right. */
  counted: number;
};

const ROWS = 4;
const COLUMNS = 2048;

export class Attackers {
  readonly #seed: HashSeed;
  readonly #capacity: number;
  readonly #entries = new Map<string, Entry>();
  readonly #sketch = new Uint32Array(ROWS * COLUMNS);
  #leak: Leak;

  constructor(options: AttackersOptions, leak: Leak) {
    this.#seed = options.seed;
    this.#capacity = options.capacity ?? 4096;
    this.#leak = leak;
  }

  /** What was forgotten until now was forgotten as fast as it used to be. */
  configure(leak: Leak, now: number): void {
    for (const entry of this.#entries.values()) this.#settle(entry, now);
    this.#leak = leak;
  }

  /** How many are kept exactly. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * What a source touched; `closed` ports are its own affair when it has a grant, and then left out by the caller. Not to be called where
   * nothing is left: whoever is told of here is listed.
   */
  touched({ source, traps, closed, unused, ports, distinct }: Sighting, now: number): Verdict {
    const entry = this.#entry(source, now);
    entry.traps += traps;
    entry.closed += closed;
    entry.unused += unused;
    for (const { protocol, port } of ports) {
      if (entry.ports.length >= KNOWN_PORTS) break;
      if (entry.ports.some((known) => known.port === port && known.protocol === protocol)) continue;
      entry.ports.push({ protocol, port });
    }
    entry.distinct = Math.max(entry.distinct, entry.ports.length, distinct);
    const scans = Math.floor(entry.distinct / SCAN_PORTS);
    const further = Math.max(0, scans - entry.scans);
    entry.scans += further;
    this.#give(entry, traps * POINTS.trap + closed * POINTS.closed + further * POINTS.scan, traps + closed + unused);
    return { attacker: entry, scanned: further > 0 };
  }

  /** A knock of this source's on a door has failed; one that was merely too slow costs no points. */
  failed(source: Address, door: string, now: number, slow = false): Verdict {
    const entry = this.#entry(source, now);
    entry.failed += 1;
    noteDoor(entry.doors, door);
    this.#give(entry, slow ? 0 : POINTS.failed, 1);
    return { attacker: entry, scanned: false };
  }

  /** It knocked right and was not let in. */
  denied(source: Address, door: string, now: number): void {
    const entry = this.#entry(source, now);
    entry.denied += 1;
    noteDoor(entry.doors, door);
    this.#give(entry, 0, 1);
  }

  /** Its points are paid off: it was banned for them, or has shown that it knows the knock. */
  forgive(source: Address): void {
    const entry = this.#entries.get(printAddress(source));
    if (entry) entry.points = 0;
  }

  get(source: Address): Attacker | undefined {
    return this.#entries.get(printAddress(source));
  }

  /** The weightiest first. */
  list(most: number, now: number): Attacker[] {
    return [...this.#entries.values()]
      .sort((x, y) => y.weight - x.weight || y.last - x.last)
      .slice(0, most)
      .map(({ weight: _, counted, ...attacker }) => ({
        ...attacker,
        ports: [...attacker.ports],
        doors: [...attacker.doors],
        points: this.#left({ points: attacker.points, counted }, now),
      }));
  }

  #entry(source: Address, now: number): Entry {
    const key = printAddress(source);
    const known = this.#entries.get(key);
    if (known) {
      this.#settle(known, now);
      known.last = Math.max(known.last, now);
      return known;
    }
    if (this.#entries.size >= this.#capacity) this.#forgetLeast();
    const entry: Entry = {
      source,
      since: now,
      last: now,
      traps: 0,
      closed: 0,
      unused: 0,
      scans: 0,
      failed: 0,
      denied: 0,
      doors: [],
      ports: [],
      distinct: 0,
      points: 0,
      weight: this.#recall(source),
      counted: now,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #settle(entry: Entry, now: number): void {
    entry.points = this.#left(entry, now);
    entry.counted = Math.max(entry.counted, now);
  }

  /** What has not been forgotten yet. */
  #left({ points, counted }: Pick<Entry, 'points' | 'counted'>, now: number): number {
    const { limit, within } = this.#leak;
    return Math.max(0, points - (Math.max(0, now - counted) * limit) / within);
  }

  #give(entry: Entry, points: number, packets: number): void {
    entry.points += points;
    entry.weight += points + packets;
  }

  /** Of the least, the one that was quiet longest. */
  #forgetLeast(): void {
    let least: [string, Entry] | undefined;
    for (const each of this.#entries) {
      const [, { weight, last }] = each;
      if (!least || weight < least[1].weight || (weight === least[1].weight && last < least[1].last)) least = each;
    }
    if (!least) return;
    this.#entries.delete(least[0]);
    for (const cell of this.#cells(least[1].source)) {
      // Conservative: no cell says more than it has to.
      this.#sketch[cell] = Math.max(this.#sketch[cell]!, Math.min(least[1].weight, 0xffff_ffff));
    }
  }

  /** What is remembered of a source that gave way: never less than its weight was, seldom more. */
  #recall(source: Address): number {
    return Math.min(...this.#cells(source).map((cell) => this.#sketch[cell]!));
  }

  #cells({ a, b, c, d }: Address): number[] {
    return Array.from(
      { length: ROWS },
      (_, row) => row * COLUMNS + (keyedHash(this.#seed, a, b ^ (row << 24), c, d) & (COLUMNS - 1)),
    );
  }
}

function noteDoor(doors: string[], door: string): void {
  if (doors.length < KNOWN_DOORS && !doors.includes(door)) doors.push(door);
}
