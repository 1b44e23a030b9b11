/**
 * The bounded table of attempts: one flat record of 80 bytes each, found by source through a keyed hash.
 *
 * - The memory is reserved at once and zeroed by the system, so that pages nobody has used cost nothing; 0 means none. A
 *   freed record is the first to be used again.
 * - The attempts of one source stand together in their bucket's chain, by door and then by age: finding them costs what
 *   that source has, not what the table holds.
 * - Three queues know who goes first: by start within a door (time), by progress in the whole table and within a prefix
 *   (bounds). Progress, because a stranger who doesn't know the sequence makes none: a flood of first steps evicts itself.
 * - A prefix (/24, /56) is counted in one of many buckets, again by keyed hash: two prefixes may share a bound, but nobody
 *   can arrange which.
 */

import type { Address } from './address.ts';
import { type HashSeed, keyedHash } from './keyed-hash.ts';
import { Queues } from './queues.ts';

// Words of a record. A, B, C, D are the source; CHAIN, BY_START, BY_PROGRESS and BY_PREFIX are two links each.
const A = 0;
const B = 1;
const C = 2;
const D = 3;
const CHAIN = 4;
const CHAIN_BACK = 5;
const BY_START = 6;
const BY_PROGRESS = 8;
const BY_PREFIX = 10;
const PREFIX = 12;
const PLACE = 13; // door << 8 | told << 7 | stage
const STRAYS = 14; // how many << 18 | the last one's step key + 1
const FIRST_SEQUENCE = 15;
const LAST_SEQUENCE = 16;
const PORTS = 17; // first source port << 16 | last source port
const START = 18; // a double, in words 18 and 19
const STRIDE = 20;

const TOLD = 0x80;
const STAGE = 0x7f;
const KEY = 0x3ffff;
/** The most strays a record can count. */
export const MOST_STRAYS = 0x1fff;

export interface Bounds {
  /** Attempts in total. */
  readonly capacity: number;
  /** Records beyond the capacity, for the moment between letting new attempts in and putting old ones out. */
  readonly spare: number;
  readonly doors: number;
}

export class Attempts {
  readonly #words: Int32Array;
  readonly #starts: Float64Array;
  readonly #seed: HashSeed;
  readonly #buckets: Int32Array;
  readonly #byStart: Queues;
  readonly #byProgress: Queues;
  readonly #byPrefix: Queues;
  readonly #prefixMask: number;
  #unused = 1;
  #free = 0;
  #size = 0;

  constructor(bounds: Bounds, seed: HashSeed) {
    const memory = new ArrayBuffer((bounds.capacity + bounds.spare + 1) * STRIDE * 4);
    this.#words = new Int32Array(memory);
    this.#starts = new Float64Array(memory);
    this.#seed = seed;
    this.#buckets = new Int32Array(powerOfTwo(bounds.capacity));
    const prefixes = powerOfTwo(bounds.capacity / 16);
    this.#prefixMask = prefixes - 1;
    const records = { words: this.#words, stride: STRIDE };
    this.#byStart = new Queues(records, BY_START, bounds.doors);
    this.#byProgress = new Queues(records, BY_PROGRESS, 1);
    this.#byPrefix = new Queues(records, BY_PREFIX, prefixes);
  }

  get size(): number {
    return this.#size;
  }

  /** The bucket a source belongs to: what `first` and `start` want to know. */
  bucket(source: Address): number {
    return keyedHash(this.#seed, source.a, source.b, source.c, source.d) & (this.#buckets.length - 1);
  }

  /** The source's first attempt, by door and age; 0 when it has none. */
  first(bucket: number, source: Address): number {
    let attempt = this.#buckets[bucket]!;
    while (attempt !== 0 && !this.#isFrom(attempt, source)) attempt = this.#words[attempt * STRIDE + CHAIN]!;
    return attempt;
  }

  /** The same source's next attempt; 0 after the last. */
  next(attempt: number): number {
    const words = this.#words;
    const next = words[attempt * STRIDE + CHAIN]!;
    if (next === 0) return 0;
    const x = attempt * STRIDE;
    const y = next * STRIDE;
    const same =
      words[x + D] === words[y + D] &&
      words[x + C] === words[y + C] &&
      words[x + B] === words[y + B] &&
      words[x + A] === words[y + A];
    return same ? next : 0;
  }

  /** Adds an attempt at stage 1 between two neighbours of the same source; either may be 0. */
  start(bucket: number, source: Address, door: number, now: number, after: number, before: number): number {
    const attempt = this.#take();
    const words = this.#words;
    const base = attempt * STRIDE;
    words[base + A] = source.a;
    words[base + B] = source.b;
    words[base + C] = source.c;
    words[base + D] = source.d;
    words[base + PLACE] = (door << 8) | 1;
    words[base + STRAYS] = 0;
    this.#starts[(base + START) >> 1] = now;
    this.#link(bucket, attempt, after, before);
    const prefix = this.#prefixOf(source);
    words[base + PREFIX] = prefix;
    this.#byStart.join(door, attempt);
    this.#byProgress.join(0, attempt);
    this.#byPrefix.join(prefix, attempt);
    this.#size += 1;
    return attempt;
  }

  remove(attempt: number): void {
    const words = this.#words;
    const base = attempt * STRIDE;
    const next = words[base + CHAIN]!;
    const back = words[base + CHAIN_BACK]!;
    if (back < 0) this.#buckets[~back] = next;
    else words[back * STRIDE + CHAIN] = next;
    if (next !== 0) words[next * STRIDE + CHAIN_BACK] = back;
    this.#byStart.leave(this.door(attempt), attempt);
    this.#byProgress.leave(0, attempt);
    this.#byPrefix.leave(words[base + PREFIX]!, attempt);
    words[base + CHAIN] = this.#free;
    this.#free = attempt;
    this.#size -= 1;
  }

  door(attempt: number): number {
    return this.#words[attempt * STRIDE + PLACE]! >>> 8;
  }

  stage(attempt: number): number {
    return this.#words[attempt * STRIDE + PLACE]! & STAGE;
  }

  /** When it started, as the caller's clock said. */
  startOf(attempt: number): number {
    return this.#starts[(attempt * STRIDE + START) >> 1]!;
  }

  source(attempt: number): Address {
    const base = attempt * STRIDE;
    const words = this.#words;
    return { a: words[base + A]!, b: words[base + B]!, c: words[base + C]!, d: words[base + D]! };
  }

  /** Has anything been said about this attempt? */
  isTold(attempt: number): boolean {
    return (this.#words[attempt * STRIDE + PLACE]! & TOLD) !== 0;
  }

  tell(attempt: number): void {
    this.#words[attempt * STRIDE + PLACE]! |= TOLD;
  }

  untell(attempt: number): void {
    this.#words[attempt * STRIDE + PLACE]! &= ~TOLD;
  }

  /** One stage further, by a packet with this source port and sequence number. */
  advance(attempt: number, port: number, sequence: number): void {
    const base = attempt * STRIDE;
    this.#words[base + PLACE]! += 1;
    this.#words[base + LAST_SEQUENCE] = sequence;
    this.#words[base + PORTS] = (this.#words[base + PORTS]! & 0xffff0000) | port;
    this.#byProgress.rejoin(0, attempt);
    this.#byPrefix.rejoin(this.#words[base + PREFIX]!, attempt);
  }

  /** Its window begins anew; strays are forgiven. */
  restart(attempt: number, now: number): void {
    const base = attempt * STRIDE;
    this.#words[base + STRAYS] = 0;
    this.#starts[(base + START) >> 1] = now;
    this.#byStart.rejoin(this.door(attempt), attempt);
    this.#byProgress.rejoin(0, attempt);
    this.#byPrefix.rejoin(this.#words[base + PREFIX]!, attempt);
  }

  /** Remembers the packet that was the first step, and is the last one so far. */
  began(attempt: number, port: number, sequence: number): void {
    const base = attempt * STRIDE;
    this.#words[base + FIRST_SEQUENCE] = sequence;
    this.#words[base + LAST_SEQUENCE] = sequence;
    this.#words[base + PORTS] = (port << 16) | port;
  }

  /** Was its first step matched by a packet with this source port and sequence number? */
  beganWith(attempt: number, port: number, sequence: number): boolean {
    const base = attempt * STRIDE;
    return this.#words[base + PORTS]! >>> 16 === port && this.#words[base + FIRST_SEQUENCE] === sequence;
  }

  /** Was the step matched last matched by a packet with this source port and sequence number? */
  lastMatched(attempt: number, port: number, sequence: number): boolean {
    const base = attempt * STRIDE;
    return (this.#words[base + PORTS]! & 0xffff) === port && this.#words[base + LAST_SEQUENCE] === sequence;
  }

  strays(attempt: number): number {
    return this.#words[attempt * STRIDE + STRAYS]! >>> 18;
  }

  wasLastStray(attempt: number, key: number): boolean {
    return (this.#words[attempt * STRIDE + STRAYS]! & KEY) === key + 1;
  }

  addStray(attempt: number, key: number): void {
    const word = attempt * STRIDE + STRAYS;
    this.#words[word] = (((this.#words[word]! >>> 18) + 1) << 18) | (key + 1);
  }

  /** The attempt of a door that started first; 0 when there is none. */
  oldestOf(door: number): number {
    return this.#byStart.head(door);
  }

  /** The attempt that has gone longest without progress. */
  idlest(): number {
    return this.#byProgress.head(0);
  }

  /** The same among those that share a source's prefix. */
  idlestBeside(source: Address): number {
    return this.#byPrefix.head(this.#prefixOf(source));
  }

  /** How many attempts there are in a source's prefix, with whoever shares its count. */
  countBeside(source: Address): number {
    return this.#byPrefix.length(this.#prefixOf(source));
  }

  #isFrom(attempt: number, source: Address): boolean {
    const base = attempt * STRIDE;
    const words = this.#words;
    return (
      words[base + D] === source.d &&
      words[base + C] === source.c &&
      words[base + B] === source.b &&
      words[base + A] === source.a
    );
  }

  #link(bucket: number, attempt: number, after: number, before: number): void {
    const words = this.#words;
    const base = attempt * STRIDE;
    let back = ~bucket;
    let next = this.#buckets[bucket]!;
    if (after !== 0) {
      back = after;
      next = words[after * STRIDE + CHAIN]!;
    } else if (before !== 0) {
      back = words[before * STRIDE + CHAIN_BACK]!;
      next = before;
    }
    words[base + CHAIN] = next;
    words[base + CHAIN_BACK] = back;
    if (back < 0) this.#buckets[~back] = attempt;
    else words[back * STRIDE + CHAIN] = attempt;
    if (next !== 0) words[next * STRIDE + CHAIN_BACK] = attempt;
  }

  #prefixOf(source: Address): number {
    // Only IPv4 starts with two zero words and ffff; ::/32 is no host's.
    const v4 = source.a === 0 && source.b === 0 && source.c === 0xffff;
    const hash = v4
      ? keyedHash(this.#seed, 0, 0, source.c, source.d & ~0xff)
      : keyedHash(this.#seed, source.a, source.b & ~0xff, 0, 0);
    return hash & this.#prefixMask;
  }

  #take(): number {
    const attempt = this.#free;
    if (attempt === 0) return this.#unused++;
    this.#free = this.#words[attempt * STRIDE + CHAIN]!;
    return attempt;
  }
}

function powerOfTwo(atLeast: number): number {
  let size = 16;
  while (size < atLeast) size *= 2;
  return size;
}
