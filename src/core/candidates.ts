/**
 * The attempts of one source at one door, and what a packet does to them: rules 2, 3 and 4 of the engine.
 *
 * They stand in the order of their age, which is the order of their stages too: each packet takes an attempt one stage further at most,
 * and of two at one stage only the younger stays. The memory of an opening, at a stage beyond the last step, comes before them.
 */

import type { Attempts } from './attempts.ts';
import type { Ledger } from './ledger.ts';
import type { Lock } from './lock.ts';
import type { Packet } from './packet.ts';

// What a packet has done to some attempt.
export const REPEAT = 1;
export const STRAY = 2;
export const MATCHED = 4;
/** It was the last step of an attempt. */
export const OPENED = 8;

/** A packet with what the engine has found out about it. */
export interface Knock {
  packet: Packet;
  /** Its protocol and port as one number. */
  key: number;
  /** Does it count against those who expect something else? */
  isStray: boolean;
  time: number;
  /** The bucket of its source. */
  bucket: number;
}

// 32 steps: at most 31 candidates, one too many for a moment, and an opening.
const MOST = 33;

export class Candidates {
  readonly #attempts: Attempts;
  readonly #ledger: Ledger;
  readonly #list = new Int32Array(MOST);
  #count = 0;
  #door = 0;

  constructor(attempts: Attempts, ledger: Ledger) {
    this.#attempts = attempts;
    this.#ledger = ledger;
  }

  /** Takes in hand the attempts at a door, of which `attempt` is the source's first or next; returns the first beyond them. */
  gather(door: number, attempt: number): number {
    this.#door = door;
    this.#count = 0;
    let next = attempt;
    while (next !== 0 && this.#attempts.door(next) === door) {
      this.#list[this.#count++] = next;
      next = this.#attempts.next(next);
    }
    return next;
  }

  /** The youngest in hand; 0 when there is none. */
  get youngest(): number {
    return this.#count === 0 ? 0 : this.#list[this.#count - 1]!;
  }

  /**
   * Does to them what the knock does. When it is the door's first step, a new one may come to stand between the source's attempts
   * `before` and `beyond` this door, either of which may be 0. Returns what was done, as bits.
   */
  knock(lock: Lock, knock: Knock, mayBegin: boolean, before: number, beyond: number): number {
    this.#dropOver(lock, knock.time);
    if (this.#isRetransmission(lock, knock)) return REPEAT;
    // A late retransmission of a first step may pass for a later step, but begins nothing.
    const begins = mayBegin && !this.#hasBegun(lock, knock.packet);
    const done = this.#match(lock, knock);
    if (!begins || (done & OPENED) !== 0) return done;
    this.#begin(lock, knock, before, beyond, (done & MATCHED) !== 0);
    return done | MATCHED;
  }

  #dropOver(lock: Lock, time: number): void {
    let kept = 0;
    for (let index = 0; index < this.#count; index += 1) {
      const attempt = this.#list[index]!;
      if (time >= this.#attempts.startOf(attempt) + lock.window) this.#ledger.expire(attempt, true);
      else this.#list[kept++] = attempt;
    }
    this.#count = kept;
  }

  /** Sequence number 0 is UDP's, or a packet made by hand: no kernel begins with it, but scripts do, in every packet. */
  #isRetransmission(lock: Lock, { packet, key }: Knock): boolean {
    if (packet.sequence === 0) return false;
    for (let index = 0; index < this.#count; index += 1) {
      const attempt = this.#list[index]!;
      if (lock.keys[this.#attempts.stage(attempt) - 1] !== key) continue;
      if (this.#attempts.lastMatched(attempt, packet.sourcePort, packet.sequence)) return true;
    }
    return false;
  }

  /** Has this first step begun one of them before? */
  #hasBegun(lock: Lock, packet: Packet): boolean {
    if (packet.sequence === 0) return false;
    for (let index = 0; index < this.#count; index += 1) {
      const attempt = this.#list[index]!;
      // After an opening a new knock may look like the last: some senders never change port and number.
      if (this.#attempts.stage(attempt) === lock.length) continue;
      if (this.#attempts.beganWith(attempt, packet.sourcePort, packet.sequence)) return true;
    }
    return false;
  }

  /** Advances, charges or leaves alone each of them. */
  #match(lock: Lock, knock: Knock): number {
    const attempts = this.#attempts;
    const list = this.#list;
    const { packet, key } = knock;
    let done = 0;
    let kept = 0;
    for (let index = 0; index < this.#count; index += 1) {
      const attempt = list[index]!;
      const stage = attempts.stage(attempt);
      if (stage === lock.length) {
        list[kept++] = attempt;
      } else if (lock.keys[stage] === key) {
        attempts.advance(attempt, packet.sourcePort, packet.sequence);
        if ((done & MATCHED) === 0) this.#ledger.advanced(this.#door, attempt, packet.source);
        done |= MATCHED;
        if (stage + 1 === lock.length) {
          for (let other = 0; other < kept; other += 1) this.#ledger.forget(list[other]!);
          for (let other = index + 1; other < this.#count; other += 1) this.#ledger.forget(list[other]!);
          this.#open(lock, knock, attempt);
          return done | OPENED;
        }
        // An elder one that stands there already has less time left.
        if (kept > 0 && attempts.stage(list[kept - 1]!) === stage + 1) this.#ledger.merge(list[--kept]!);
        list[kept++] = attempt;
      } else if (lock.hasMatched(stage, key)) {
        done |= REPEAT;
        list[kept++] = attempt;
      } else if (knock.isStray) {
        done |= STRAY;
        if (this.#charge(lock, knock, attempt)) list[kept++] = attempt;
      } else {
        list[kept++] = attempt;
      }
    }
    this.#count = kept;
    return done;
  }

  /** Counts a stray against an attempt; false when that ended it. */
  #charge(lock: Lock, { packet, key }: Knock, attempt: number): boolean {
    const attempts = this.#attempts;
    if (lock.comesLater(attempts.stage(attempt), key)) {
      this.#ledger.fail(attempt, packet.source, 'order');
      return false;
    }
    if (attempts.wasLastStray(attempt, key)) return true;
    if (attempts.strays(attempt) < lock.strays) {
      attempts.addStray(attempt, key);
      return true;
    }
    this.#ledger.fail(attempt, packet.source, 'strays');
    return false;
  }

  /** A first step: begins anew the one that has got no further, else another. `quietly` when the packet has been told of. */
  #begin(lock: Lock, knock: Knock, before: number, beyond: number, quietly: boolean): void {
    const attempts = this.#attempts;
    const { source, sourcePort, sequence } = knock.packet;
    let attempt = this.youngest;
    if (attempt !== 0 && attempts.stage(attempt) === 1 && lock.length > 1) {
      attempts.restart(attempt, knock.time);
      this.#ledger.counters.restarted += 1;
    } else {
      attempt = attempts.start(knock.bucket, source, this.#door, knock.time, attempt || before, beyond);
      this.#list[this.#count++] = attempt;
      this.#ledger.counters.started += 1;
    }
    attempts.began(attempt, sourcePort, sequence);
    if (!quietly) this.#ledger.began(this.#door, attempt, source);
    if (lock.length === 1) {
      for (let other = 0; other < this.#count - 1; other += 1) this.#ledger.forget(this.#list[other]!);
      this.#open(lock, knock, attempt);
      return;
    }
    const eldest = attempts.stage(this.#list[0]!) === lock.length ? 1 : 0;
    if (this.#count - eldest > lock.candidates) {
      this.#ledger.evict(this.#list[eldest]!);
      this.#list.copyWithin(eldest, eldest + 1, this.#count);
      this.#count -= 1;
    }
  }

  /** The last step has come: the attempt ends, or stays for another window to know its last packet again. */
  #open(lock: Lock, { packet, time }: Knock, attempt: number): void {
    this.#ledger.opened(this.#door, packet.source);
    this.#count = 0;
    if (lock.remembers) {
      this.#attempts.restart(attempt, time);
      this.#list[this.#count++] = attempt;
    } else {
      this.#attempts.remove(attempt);
    }
  }
}
