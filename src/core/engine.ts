/**
 * The knock engine: packets in, events out, time as an argument. The rules, each with its vector in test/vectors:
 *
 * 1. An attempt belongs to (door, source). A packet concerns a door when it goes to the door's target, or to any local address
 *    when it has none, and, being TCP, fits its flags.
 * 2. The expected step advances an attempt; a step it has matched before is a repeat and nothing; the same packet again (port, source
 *    port, sequence number) is a retransmission and nothing, even where the same port is expected. After an opening the packet
 *    that opened stays known for another window.
 * 3. Anything else that opens a connection, unless to a public port that is nobody's step, or knocks at somebody's UDP step, is a
 *    stray. The same port twice in a row is one. A step of the sequence itself before its turn is one too many: it never helps an
 *    honest knock, and would let knocks of a door's reverse, repeated, complete it (7000,8000,9000 and 9000,8000,7000 are knockd's
 *    own example).
 * 4. A first step always counts: it begins anew what is at stage 1, else a second candidate beside those further on. Of two at
 *    one stage the younger stays. Too many candidates: the eldest goes, and there is room for all that one run through the
 *    sequence starts. So whatever came before, a complete knock opens; Knuth, Morris and Pratt, with a clock.
 * 5. The window runs from the first step. When it is over, so is the attempt, whether or not `expire` has been called.
 * 6. Bounded: when a prefix or the table is full, who has gone longest without progress gives way. One source never holds more
 *    than its candidates for every door.
 */

import type { Address } from './address.ts';
import { AddressSet } from './address-set.ts';
import { Attempts } from './attempts.ts';
import { Candidates, type Knock, MATCHED, OPENED, REPEAT, STRAY } from './candidates.ts';
import { type Door, isBareSyn } from './door.ts';
import type { KnockEvent } from './events.ts';
import type { HashSeed } from './keyed-hash.ts';
import { type EngineCounters, Ledger } from './ledger.ts';
import { type Lock, lockOf, stepKey } from './lock.ts';
import type { Packet } from './packet.ts';
import { StepIndex } from './step-index.ts';

export interface EngineOptions {
  /** 64 secret random bits. */
  readonly seed: HashSeed;
  /** Attempts in total; 80 bytes each, reserved but not touched. Default 1,048,576. */
  readonly capacity?: number;
  /** Attempts from one /24 or /56. Default a sixteenth of the capacity: at 25,000 packets a second, 2.6 seconds' worth. */
  readonly perPrefix?: number;
}

const NO_DOOR = Number.MAX_SAFE_INTEGER;

/** How many expirations at stage 1 one call tells of; a million at once would be an attack on whoever listens. */
const TOLD_EXPIRATIONS = 10_000;

export class Engine {
  readonly #capacity: number;
  readonly #perPrefix: number;
  /** One for each door; undefined while it is shut. */
  readonly #locks: (Lock | undefined)[];
  readonly #attempts: Attempts;
  readonly #ledger: Ledger;
  readonly #candidates: Candidates;
  #steps: StepIndex;
  #local: AddressSet | 'any' = new AddressSet([]);
  /** A bit for each TCP port. */
  #public = new Uint8Array(0x10000 / 8);
  #now = Number.NEGATIVE_INFINITY;
  /** The knock in hand; one object for all. */
  #knock: Knock | undefined;

  constructor(doors: readonly Door[], options: EngineOptions) {
    const capacity = options.capacity ?? 1_048_576;
    this.#capacity = capacity;
    this.#perPrefix = options.perPrefix ?? Math.max(16, capacity / 16);
    this.#locks = doors.map(lockOf);
    this.#attempts = new Attempts({ capacity, spare: doors.length, doors: doors.length }, options.seed);
    this.#ledger = new Ledger(this.#attempts, this.#locks);
    this.#candidates = new Candidates(this.#attempts, this.#ledger);
    this.#steps = new StepIndex(this.#locks);
  }

  get counters(): EngineCounters {
    return this.#ledger.counters;
  }

  /** Records in use: attempts, and openings whose last packet is still known. */
  get size(): number {
    return this.#attempts.size;
  }

  /** Which destinations count for doors without a target. May change while it runs; attempts survive. None before the first call. */
  setLocalAddresses(addresses: readonly Address[] | 'any'): void {
    this.#local = addresses === 'any' ? 'any' : new AddressSet(addresses);
  }

  /** TCP ports whose connections are nobody's stray, steps aside. May change while it runs. None before the first call. */
  setPublicPorts(ports: readonly number[]): void {
    this.#public = new Uint8Array(0x10000 / 8);
    for (const port of ports) this.#public[port >> 3]! |= 1 << (port & 7);
  }

  /**
   * Gives a door another sequence, as one-time doors need after each opening; undefined shuts it, like a door without steps. All its
   * attempts and remembered openings are forgotten, in silence: a stage of the old sequence means nothing in the new one.
   */
  replaceDoor(index: number, door: Door | undefined): void {
    if (index < 0 || index >= this.#locks.length) throw new RangeError(`No door ${index}`);
    const lock = door && lockOf(door);
    for (let attempt = this.#attempts.oldestOf(index); attempt !== 0; attempt = this.#attempts.oldestOf(index)) {
      this.#ledger.forget(attempt);
    }
    this.#locks[index] = lock;
    this.#steps = new StepIndex(this.#locks);
  }

  /** What a packet does. `now` is in milliseconds of a clock that doesn't go back; when it does, it is taken to stand still. */
  packet(packet: Packet, now: number): readonly KnockEvent[] {
    const { counters } = this.#ledger;
    counters.packets += 1;
    const time = this.#at(now);
    const local = this.#local === 'any' || this.#local.has(packet.destination);
    if (!local && !this.#steps.targets.has(packet.destination)) {
      counters.foreign += 1;
      return this.#ledger.take();
    }
    const key = stepKey(packet.protocol, packet.destinationPort);
    const starters = this.#steps.starters(key);
    if (starters.length === 0 && this.#attempts.size === 0) {
      counters.ignored += 1;
      return this.#ledger.take();
    }
    const bucket = this.#attempts.bucket(packet.source);
    const first = this.#attempts.first(bucket, packet.source);
    if (starters.length === 0 && first === 0) {
      counters.ignored += 1;
      return this.#ledger.take();
    }
    const isStray =
      packet.protocol === 'tcp' ? isBareSyn(packet.flags) && !this.#isOnlyPublic(key) : this.#steps.isStep(key);
    const started = counters.started;
    const done = this.#visit(this.#handle(packet, key, isStray, time, bucket), local, starters, first);
    if ((done & OPENED) !== 0) this.#ledger.hushBeginnings();
    if ((done & MATCHED) !== 0) counters.matched += 1;
    else if ((done & REPEAT) !== 0) counters.repeats += 1;
    else if ((done & STRAY) !== 0) counters.strays += 1;
    else counters.ignored += 1;
    if (counters.started !== started) this.#holdBounds(packet.source);
    return this.#ledger.take();
  }

  /** Ends the attempts whose window is over. Of more than 10,000 at stage 1 in one call, the rest are counted only. */
  expire(now: number): readonly KnockEvent[] {
    const attempts = this.#attempts;
    const time = this.#at(now);
    let patience = TOLD_EXPIRATIONS;
    for (const [door, lock] of this.#locks.entries()) {
      if (!lock) continue;
      let attempt = attempts.oldestOf(door);
      while (attempt !== 0 && time >= attempts.startOf(attempt) + lock.window) {
        const isFirst = attempts.stage(attempt) === 1;
        if (isFirst) patience -= 1;
        this.#ledger.expire(attempt, patience >= 0 || !isFirst);
        attempt = attempts.oldestOf(door);
      }
    }
    return this.#ledger.take();
  }

  /** When the next window is over; undefined when there is nothing to wait for. */
  nextDeadline(): number | undefined {
    let earliest: number | undefined;
    for (const [door, lock] of this.#locks.entries()) {
      const attempt = this.#attempts.oldestOf(door);
      if (!lock || attempt === 0) continue;
      const deadline = this.#attempts.startOf(attempt) + lock.window;
      if (earliest === undefined || deadline < earliest) earliest = deadline;
    }
    return earliest;
  }

  /** Goes through the doors that the source has attempts at and those that the packet may begin at, in order. */
  #visit(knock: Knock, local: boolean, starters: readonly number[], first: number): number {
    const candidates = this.#candidates;
    let done = 0;
    let before = 0;
    let attempt = first;
    let starter = 0;
    while (attempt !== 0 || starter < starters.length) {
      const busy = attempt === 0 ? NO_DOOR : this.#attempts.door(attempt);
      const door = Math.min(busy, starters[starter] ?? NO_DOOR);
      const mayBegin = starters[starter] === door;
      if (mayBegin) starter += 1;
      attempt = candidates.gather(door, attempt);
      const lock = this.#locks[door]!;
      if (lock.sees(knock.packet, local)) done |= candidates.knock(lock, knock, mayBegin, before, attempt);
      before = candidates.youngest || before;
    }
    return done;
  }

  #holdBounds(source: Address): void {
    const attempts = this.#attempts;
    while (attempts.countBeside(source) > this.#perPrefix) this.#ledger.evict(attempts.idlestBeside(source));
    while (attempts.size > this.#capacity) this.#ledger.evict(attempts.idlest());
  }

  /** Is this TCP port public, and no step? */
  #isOnlyPublic(port: number): boolean {
    return (this.#public[port >> 3]! & (1 << (port & 7))) !== 0 && !this.#steps.isStep(port);
  }

  #handle(packet: Packet, key: number, isStray: boolean, time: number, bucket: number): Knock {
    this.#knock ??= { packet, key, isStray, time, bucket };
    const knock = this.#knock;
    knock.packet = packet;
    knock.key = key;
    knock.isStray = isStray;
    knock.time = time;
    knock.bucket = bucket;
    return knock;
  }

  #at(now: number): number {
    if (now > this.#now) this.#now = now;
    return this.#now;
  }
}
