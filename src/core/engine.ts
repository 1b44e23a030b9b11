/**
 * The knock engine: packets in, events out, time as an argument. The rules, each with its vector in test/vectors:
 *
 * 1. An attempt belongs to (door, source). A packet concerns a door when it goes to the door's target, or to any local address
 *    when it has none, and, being TCP, fits its flags.
 * 2. The expected step advances an attempt; a step it has matched before is a repeat and nothing; the same packet again (port, source
 *    port, sequence number) is a retransmission and nothing, even where the same port is expected. After an opening the packet
 *    that opened stays known for another window.
 * 3. Anything else that opens a connection, or knocks at somebody's UDP step, is a stray. The same port twice in a row is one. A
 *    step of the sequence itself before its turn is one too many: it never helps an honest knock, and would let knocks of a
 *    door's reverse, repeated, complete it (7000,8000,9000 and 9000,8000,7000 are knockd's own example).
 * 4. A first step always counts: it begins anew what is at stage 1, else a second candidate beside those further on. Of two at
 *    one stage the younger stays. Too many candidates: the eldest goes, and there is room for all that one run through the
 *    sequence starts. So whatever came before, a complete knock opens; Knuth, Morris and Pratt, with a clock.
 * 5. The window runs from the first step. When it is over, so is the attempt, whether or not `expire` has been called.
 * 6. Bounded: when a prefix or the table is full, who has gone longest without progress gives way. One source never holds more
 *    than its candidates for every door.
 *
 * Of what a packet does to one door, the furthest candidate alone is told, and a packet that completed a knock is not told as the first
 * step of another; what nothing was told of ends in silence. So a plain knock reads as in knockd's log, 7000,7000,7000 and the
 * pair of `open` and `close` included.
 */

import type { Address } from './address.ts';
import { AddressSet } from './address-set.ts';
import { Attempts } from './attempts.ts';
import { type Door, isBareSyn } from './door.ts';
import type { FailReason, KnockEvent } from './events.ts';
import type { HashSeed } from './keyed-hash.ts';
import { Lock, stepKey } from './lock.ts';
import type { Packet } from './packet.ts';

export interface EngineOptions {
  /** 64 secret random bits. */
  readonly seed: HashSeed;
  /** Attempts in total; 80 bytes each, reserved but not touched. Default 1,048,576. */
  readonly capacity?: number;
  /** Attempts from one /24 or /56. Default a sixteenth of the capacity: at 25,000 packets a second, 2.6 seconds' worth. */
  readonly perPrefix?: number;
}

/**
 * What became of packets and attempts. `packets` is the sum of the next five. Every attempt that started is either in the table
 * or ended in one of the last six ways.
 */
export interface EngineCounters {
  readonly packets: number;
  /** To an address that is neither local nor a target. */
  readonly foreign: number;
  /** Started or advanced an attempt. */
  readonly matched: number;
  /** Not that, but a retransmission or a repeated step of an attempt. */
  readonly repeats: number;
  /** Not that either, but a stray of an attempt. */
  readonly strays: number;
  /** Nobody's. */
  readonly ignored: number;
  readonly started: number;
  /** Of those at stage 1, how many began anew. */
  readonly restarted: number;
  readonly opened: number;
  readonly expired: number;
  /** Ended by strays, or by a step before its turn. */
  readonly failed: number;
  /** Gave way to a bound. */
  readonly evicted: number;
  /** Came to the stage of a younger one. */
  readonly merged: number;
  /** Ended with the opening that another candidate reached, or with their door. */
  readonly forgotten: number;
}

const NOTHING: readonly KnockEvent[] = Object.freeze([]);
const NO_DOORS: readonly number[] = [];
const NO_DOOR = Number.MAX_SAFE_INTEGER;
const STEPS = 0x20000;

const FIRST_STEP = 1;
const UDP_STEP = 2;

const OPENED = 8;
const MATCHED = 4;
const STRAY = 2;
const REPEAT = 1;

/** How many expirations at stage 1 one call tells of; a million at once would be an attack on whoever listens. */
const TOLD_EXPIRATIONS = 10_000;

export class Engine {
  readonly #capacity: number;
  readonly #perPrefix: number;
  readonly #locks: (Lock | undefined)[];
  readonly #targets: (Address | undefined)[];
  readonly #attempts: Attempts;
  readonly #counters = {
    packets: 0,
    foreign: 0,
    matched: 0,
    repeats: 0,
    strays: 0,
    ignored: 0,
    started: 0,
    restarted: 0,
    opened: 0,
    expired: 0,
    failed: 0,
    evicted: 0,
    merged: 0,
    forgotten: 0,
  };
  /** What each step key is to some door: FIRST_STEP, UDP_STEP. */
  readonly #roles = new Uint8Array(STEPS);
  #starters = new Map<number, readonly number[]>();
  #targeted = new AddressSet([]);
  #local: AddressSet | 'any' = new AddressSet([]);
  #now = Number.NEGATIVE_INFINITY;
  #events: KnockEvent[] | undefined;
  /** The attempts of the source at the door in hand, eldest and furthest first. */
  readonly #group: Int32Array;
  #grouped = 0;
  /** The attempts that the packet in hand has begun, as far as nothing had been told of them. */
  readonly #begun: Int32Array;
  #beginnings = 0;

  /** A door without steps is shut: a one-time door whose sequences are used up. */
  constructor(doors: readonly Door[], options: EngineOptions) {
    const capacity = options.capacity ?? 1_048_576;
    this.#capacity = capacity;
    this.#perPrefix = options.perPrefix ?? Math.max(16, capacity / 16);
    this.#locks = doors.map((door) => (door.steps.length > 0 ? new Lock(door) : undefined));
    this.#targets = doors.map((door) => door.target);
    this.#attempts = new Attempts({ capacity, spare: doors.length, doors: doors.length }, options.seed);
    // 32 steps: at most 31 candidates, one too many for a moment, and a remembered opening.
    this.#group = new Int32Array(64);
    this.#begun = new Int32Array(doors.length);
    this.#index();
  }

  get counters(): EngineCounters {
    return this.#counters;
  }

  /** Records in use: attempts, and openings whose last packet is still known. */
  get size(): number {
    return this.#attempts.size;
  }

  /** Which destinations count for doors without a target. May change while it runs; attempts survive. None before the first call. */
  setLocalAddresses(addresses: readonly Address[] | 'any'): void {
    this.#local = addresses === 'any' ? 'any' : new AddressSet(addresses);
  }

  /**
   * Gives a door another sequence, as one-time doors need after each opening; undefined shuts it for good. All its attempts and
   * remembered openings are forgotten, in silence: a stage of the old sequence means nothing in the new one.
   */
  replaceDoor(index: number, door: Door | undefined): void {
    if (index < 0 || index >= this.#locks.length) throw new RangeError(`No door ${index}`);
    for (let attempt = this.#attempts.oldestOf(index); attempt !== 0; attempt = this.#attempts.oldestOf(index)) {
      if (!this.#isOpening(attempt)) this.#counters.forgotten += 1;
      this.#attempts.remove(attempt);
    }
    this.#locks[index] = door && new Lock(door);
    this.#targets[index] = door?.target;
    this.#index();
  }

  /** What a packet does. `now` is in milliseconds of a clock that doesn't go back; when it does, it is taken to stand still. */
  packet(packet: Packet, now: number): readonly KnockEvent[] {
    const counters = this.#counters;
    counters.packets += 1;
    const time = this.#at(now);
    const local = this.#local === 'any' || this.#local.has(packet.destination);
    if (!local && !this.#targeted.has(packet.destination)) {
      counters.foreign += 1;
      return NOTHING;
    }
    const key = stepKey(packet.protocol, packet.destinationPort);
    const role = this.#roles[key]!;
    const starters = (role & FIRST_STEP) !== 0 ? this.#starters.get(key)! : NO_DOORS;
    if (starters.length === 0 && this.#attempts.size === 0) {
      counters.ignored += 1;
      return NOTHING;
    }
    const bucket = this.#attempts.bucket(packet.source);
    const first = this.#attempts.first(bucket, packet.source);
    if (starters.length === 0 && first === 0) {
      counters.ignored += 1;
      return NOTHING;
    }
    const started = counters.started;
    const isStray = packet.protocol === 'tcp' ? isBareSyn(packet.flags) : (role & UDP_STEP) !== 0;
    const verdict = this.#visit(packet, time, key, local, isStray, starters, bucket, first);
    if ((verdict & OPENED) !== 0) this.#hushBeginnings();
    if ((verdict & MATCHED) !== 0) counters.matched += 1;
    else if ((verdict & REPEAT) !== 0) counters.repeats += 1;
    else if ((verdict & STRAY) !== 0) counters.strays += 1;
    else counters.ignored += 1;
    if (counters.started !== started) this.#holdBounds(packet.source);
    return this.#told();
  }

  /** Ends the attempts whose window is over. Of more than 10,000 at stage 1 in one call, the rest are counted only. */
  expire(now: number): readonly KnockEvent[] {
    const time = this.#at(now);
    let patience = TOLD_EXPIRATIONS;
    for (const [door, lock] of this.#locks.entries()) {
      if (!lock) continue;
      let attempt = this.#attempts.oldestOf(door);
      while (attempt !== 0 && this.#isOver(attempt, lock, time)) {
        if (this.#attempts.stage(attempt) === 1) patience -= 1;
        this.#expireOne(door, attempt, patience >= 0 || this.#attempts.stage(attempt) > 1);
        attempt = this.#attempts.oldestOf(door);
      }
    }
    return this.#told();
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
  #visit(
    packet: Packet,
    time: number,
    key: number,
    local: boolean,
    isStray: boolean,
    starters: readonly number[],
    bucket: number,
    first: number,
  ): number {
    const attempts = this.#attempts;
    const group = this.#group;
    let verdict = 0;
    let after = 0;
    let attempt = first;
    let starter = 0;
    this.#beginnings = 0;
    while (attempt !== 0 || starter < starters.length) {
      const busy = attempt === 0 ? NO_DOOR : attempts.door(attempt);
      const door = Math.min(busy, starters[starter] ?? NO_DOOR);
      const mayStart = starters[starter] === door;
      if (mayStart) starter += 1;
      this.#grouped = 0;
      while (attempt !== 0 && attempts.door(attempt) === door) {
        group[this.#grouped++] = attempt;
        attempt = attempts.next(attempt);
      }
      const lock = this.#locks[door]!;
      if (lock.sees(packet, local)) {
        this.#dropOver(door, lock, time);
        if (this.#isRetransmission(lock, key, packet)) {
          verdict |= REPEAT;
        } else {
          // A late retransmission of a first step may pass for a later step, but begins nothing.
          const starts = mayStart && !this.#hasBegun(lock, packet);
          const done = this.#match(door, lock, packet, time, key, isStray);
          verdict |= done;
          if (starts && (done & OPENED) === 0) {
            const neighbour = this.#grouped > 0 ? group[this.#grouped - 1]! : after;
            this.#begin(door, lock, packet, time, bucket, neighbour, attempt, (done & MATCHED) !== 0);
            verdict |= MATCHED;
          }
        }
      }
      if (this.#grouped > 0) after = group[this.#grouped - 1]!;
    }
    return verdict;
  }

  /** Takes the attempts whose window is over out of the group. */
  #dropOver(door: number, lock: Lock, time: number): void {
    const group = this.#group;
    let kept = 0;
    for (let index = 0; index < this.#grouped; index += 1) {
      const attempt = group[index]!;
      if (this.#isOver(attempt, lock, time)) this.#expireOne(door, attempt, true);
      else group[kept++] = attempt;
    }
    this.#grouped = kept;
  }

  /** Sequence number 0 is UDP's, or a packet made by hand: no kernel begins with it, but scripts do, in every packet. */
  #isRetransmission(lock: Lock, key: number, packet: Packet): boolean {
    if (packet.sequence === 0) return false;
    for (let index = 0; index < this.#grouped; index += 1) {
      const attempt = this.#group[index]!;
      if (lock.keys[this.#attempts.stage(attempt) - 1] !== key) continue;
      if (this.#attempts.lastMatched(attempt, packet.sourcePort, packet.sequence)) return true;
    }
    return false;
  }

  /** Has this packet begun one of the attempts in the group? Only asked of a first step. */
  #hasBegun(lock: Lock, packet: Packet): boolean {
    if (packet.sequence === 0) return false;
    for (let index = 0; index < this.#grouped; index += 1) {
      const attempt = this.#group[index]!;
      // After an opening a new knock may look like the last: some senders never change port and number.
      if (this.#attempts.stage(attempt) === lock.length) continue;
      if (this.#attempts.beganWith(attempt, packet.sourcePort, packet.sequence)) return true;
    }
    return false;
  }

  /** Advances, charges or leaves alone each attempt in the group. */
  #match(door: number, lock: Lock, packet: Packet, time: number, key: number, isStray: boolean): number {
    const attempts = this.#attempts;
    const group = this.#group;
    const count = this.#grouped;
    let verdict = 0;
    let kept = 0;
    for (let index = 0; index < count; index += 1) {
      const attempt = group[index]!;
      const stage = attempts.stage(attempt);
      if (stage === lock.length) {
        group[kept++] = attempt;
      } else if (lock.keys[stage] === key) {
        attempts.advance(attempt, packet.sourcePort, packet.sequence);
        if ((verdict & MATCHED) === 0) this.#tellAdvanced(door, attempt, packet.source);
        verdict |= MATCHED;
        if (stage + 1 === lock.length) {
          for (let other = 0; other < kept; other += 1) this.#forget(lock, group[other]!);
          for (let other = index + 1; other < count; other += 1) this.#forget(lock, group[other]!);
          this.#open(door, lock, attempt, packet.source, time);
          return verdict | OPENED;
        }
        // An elder one that stands there already has less time left.
        if (kept > 0 && attempts.stage(group[kept - 1]!) === stage + 1) {
          kept -= 1;
          attempts.remove(group[kept]!);
          this.#counters.merged += 1;
        }
        group[kept++] = attempt;
      } else if (lock.hasMatched(stage, key)) {
        verdict |= REPEAT;
        group[kept++] = attempt;
      } else if (isStray && this.#charge(door, lock, attempt, key, packet.source)) {
        verdict |= STRAY;
      } else {
        if (isStray) verdict |= STRAY;
        group[kept++] = attempt;
      }
    }
    this.#grouped = kept;
    return verdict;
  }

  /** Counts a stray against an attempt; true when that ended it. */
  #charge(door: number, lock: Lock, attempt: number, key: number, source: Address): boolean {
    const attempts = this.#attempts;
    const stage = attempts.stage(attempt);
    const early = lock.comesLater(stage, key);
    if (!early) {
      if (attempts.wasLastStray(attempt, key)) return false;
      if (attempts.strays(attempt) < lock.strays) {
        attempts.addStray(attempt, key);
        return false;
      }
    }
    if (attempts.isTold(attempt)) this.#tellFailed(door, source, stage, early ? 'order' : 'strays');
    this.#counters.failed += 1;
    attempts.remove(attempt);
    return true;
  }

  /** A first step: begins a new attempt, or anew the one that has got no further. `quietly` when the packet has been told of. */
  #begin(
    door: number,
    lock: Lock,
    packet: Packet,
    time: number,
    bucket: number,
    after: number,
    before: number,
    quietly: boolean,
  ): void {
    const attempts = this.#attempts;
    const group = this.#group;
    const youngest = this.#grouped > 0 ? group[this.#grouped - 1]! : 0;
    let attempt = youngest;
    if (youngest !== 0 && attempts.stage(youngest) === 1 && lock.length > 1) {
      attempts.restart(youngest, time);
      this.#counters.restarted += 1;
    } else {
      attempt = attempts.start(bucket, packet.source, door, time, after, before);
      group[this.#grouped++] = attempt;
      this.#counters.started += 1;
    }
    attempts.began(attempt, packet.sourcePort, packet.sequence);
    if (!quietly) {
      if (!attempts.isTold(attempt)) this.#begun[this.#beginnings++] = attempt;
      this.#tellAdvanced(door, attempt, packet.source);
    }
    if (lock.length === 1) {
      for (let other = 0; other < this.#grouped - 1; other += 1) this.#forget(lock, group[other]!);
      this.#open(door, lock, attempt, packet.source, time);
      return;
    }
    const eldest = attempts.stage(group[0]!) === lock.length ? 1 : 0;
    if (this.#grouped - eldest > lock.candidates) {
      this.#evict(group[eldest]!);
      group.copyWithin(eldest, eldest + 1, this.#grouped);
      this.#grouped -= 1;
    }
  }

  /** The last step has come: the attempt ends, or stays for another window to know its last packet again. */
  #open(door: number, lock: Lock, attempt: number, source: Address, time: number): void {
    this.#tell({ type: 'opened', door, source });
    this.#counters.opened += 1;
    this.#grouped = 0;
    if (lock.remembers) {
      this.#attempts.restart(attempt, time);
      this.#group[this.#grouped++] = attempt;
    } else {
      this.#attempts.remove(attempt);
    }
  }

  /** Takes back what was told of first steps: the packet was the last step of a knock, and most likely meant as nothing else. */
  #hushBeginnings(): void {
    this.#events = this.#events?.filter(
      (event) => event.type !== 'advanced' || event.stage > 1 || this.#locks[event.door]!.length === 1,
    );
    for (let index = 0; index < this.#beginnings; index += 1) this.#attempts.untell(this.#begun[index]!);
  }

  #forget(lock: Lock, attempt: number): void {
    if (this.#attempts.stage(attempt) !== lock.length) this.#counters.forgotten += 1;
    this.#attempts.remove(attempt);
  }

  #holdBounds(source: Address): void {
    while (this.#attempts.countBeside(source) > this.#perPrefix) this.#evict(this.#attempts.idlestBeside(source));
    while (this.#attempts.size > this.#capacity) this.#evict(this.#attempts.idlest());
  }

  /** Told of only from stage 2 on: a flood of first steps evicts itself a million times over. */
  #evict(attempt: number): void {
    const attempts = this.#attempts;
    if (!this.#isOpening(attempt)) {
      this.#counters.evicted += 1;
      const stage = attempts.stage(attempt);
      if (stage > 1 && attempts.isTold(attempt)) {
        this.#tellFailed(attempts.door(attempt), attempts.source(attempt), stage, 'evicted');
      }
    }
    attempts.remove(attempt);
  }

  #expireOne(door: number, attempt: number, aloud: boolean): void {
    const attempts = this.#attempts;
    if (!this.#isOpening(attempt)) {
      this.#counters.expired += 1;
      if (aloud && attempts.isTold(attempt)) {
        this.#tell({ type: 'expired', door, source: attempts.source(attempt), stage: attempts.stage(attempt) });
      }
    }
    attempts.remove(attempt);
  }

  #isOver(attempt: number, lock: Lock, time: number): boolean {
    return time >= this.#attempts.startOf(attempt) + lock.window;
  }

  /** Is this the memory of an opening, and no attempt any more? */
  #isOpening(attempt: number): boolean {
    return this.#attempts.stage(attempt) === this.#locks[this.#attempts.door(attempt)]!.length;
  }

  #tellAdvanced(door: number, attempt: number, source: Address): void {
    this.#attempts.tell(attempt);
    this.#tell({ type: 'advanced', door, source, stage: this.#attempts.stage(attempt) });
  }

  #tellFailed(door: number, source: Address, stage: number, reason: FailReason): void {
    this.#tell({ type: 'failed', door, source, stage, reason });
  }

  #tell(event: KnockEvent): void {
    if (this.#events) this.#events.push(event);
    else this.#events = [event];
  }

  #told(): readonly KnockEvent[] {
    const events = this.#events;
    if (!events) return NOTHING;
    this.#events = undefined;
    return events;
  }

  #at(now: number): number {
    if (now > this.#now) this.#now = now;
    return this.#now;
  }

  /** Works out anew which steps begin at which doors, and which UDP ports and destinations are anybody's. */
  #index(): void {
    const starters = new Map<number, number[]>();
    this.#roles.fill(0);
    for (const [door, lock] of this.#locks.entries()) {
      if (!lock) continue;
      for (const key of lock.keys) if (key >= 0x10000) this.#roles[key]! |= UDP_STEP;
      const first = lock.keys[0]!;
      this.#roles[first]! |= FIRST_STEP;
      const sharers = starters.get(first);
      if (sharers) sharers.push(door);
      else starters.set(first, [door]);
    }
    this.#starters = starters;
    this.#targeted = new AddressSet(this.#targets.filter((target) => target !== undefined));
  }
}
