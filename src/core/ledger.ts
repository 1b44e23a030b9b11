/**
 * What the engine has to say: the events of the call in hand, and the counts of its life. Every attempt ends through here.
 *
 * Of what a packet does to one door, the furthest candidate alone is told, and a packet that completed a knock is not told as the first
 * step of another; what nothing was told of ends in silence. So a plain knock reads as in knockd's log, 7000,7000,7000 and the
 * pair of `open` and `close` included.
 */

import type { Address } from './address.ts';
import type { Attempts } from './attempts.ts';
import type { FailReason, KnockEvent } from './events.ts';
import type { Lock } from './lock.ts';

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

export class Ledger {
  readonly counters = {
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
  } satisfies EngineCounters;
  readonly #attempts: Attempts;
  readonly #locks: readonly (Lock | undefined)[];
  #events: KnockEvent[] | undefined;
  /** The attempts that the packet in hand has begun, as far as nothing had been told of them. */
  readonly #begun: Int32Array;
  #beginnings = 0;

  /** `locks` may change while it is used. */
  constructor(attempts: Attempts, locks: readonly (Lock | undefined)[]) {
    this.#attempts = attempts;
    this.#locks = locks;
    this.#begun = new Int32Array(locks.length);
  }

  /** The events since the last call; one shared empty array when there are none. */
  take(): readonly KnockEvent[] {
    this.#beginnings = 0;
    const events = this.#events;
    if (!events) return NOTHING;
    this.#events = undefined;
    return events;
  }

  began(door: number, attempt: number, source: Address): void {
    if (!this.#attempts.isTold(attempt)) this.#begun[this.#beginnings++] = attempt;
    this.advanced(door, attempt, source);
  }

  advanced(door: number, attempt: number, source: Address): void {
    this.#attempts.tell(attempt);
    this.#tell({ type: 'advanced', door, source, stage: this.#attempts.stage(attempt) });
  }

  opened(door: number, source: Address): void {
    this.counters.opened += 1;
    this.#tell({ type: 'opened', door, source });
  }

  /** Takes back what was told of first steps: the packet was the last step of a knock, and most likely meant as nothing else. */
  hushBeginnings(): void {
    this.#events = this.#events?.filter(
      (event) => event.type !== 'advanced' || event.stage > 1 || this.#locks[event.door]!.length === 1,
    );
    for (let index = 0; index < this.#beginnings; index += 1) this.#attempts.untell(this.#begun[index]!);
  }

  /** Ends an attempt that has had its strays. */
  fail(attempt: number, source: Address, reason: FailReason): void {
    const attempts = this.#attempts;
    this.counters.failed += 1;
    if (attempts.isTold(attempt)) {
      this.#tell({ type: 'failed', door: attempts.door(attempt), source, stage: attempts.stage(attempt), reason });
    }
    attempts.remove(attempt);
  }

  /** Ends an attempt, or the memory of an opening, whose window is over. */
  expire(attempt: number, aloud: boolean): void {
    const attempts = this.#attempts;
    if (!this.isOpening(attempt)) {
      this.counters.expired += 1;
      if (aloud && attempts.isTold(attempt)) {
        const [door, source, stage] = [attempts.door(attempt), attempts.source(attempt), attempts.stage(attempt)];
        this.#tell({ type: 'expired', door, source, stage });
      }
    }
    attempts.remove(attempt);
  }

  /** Ends what a bound can't hold. Told of only from stage 2 on: a flood of first steps evicts itself a million times over. */
  evict(attempt: number): void {
    const attempts = this.#attempts;
    if (!this.isOpening(attempt)) {
      this.counters.evicted += 1;
      const stage = attempts.stage(attempt);
      if (stage > 1 && attempts.isTold(attempt)) {
        const [door, source] = [attempts.door(attempt), attempts.source(attempt)];
        this.#tell({ type: 'failed', door, source, stage, reason: 'evicted' });
      }
    }
    attempts.remove(attempt);
  }

  /** Ends an attempt in favour of a younger one at its stage. */
  merge(attempt: number): void {
    this.counters.merged += 1;
    this.#attempts.remove(attempt);
  }

  /** Ends what an opening or a change of the door has made meaningless. */
  forget(attempt: number): void {
    if (!this.isOpening(attempt)) this.counters.forgotten += 1;
    this.#attempts.remove(attempt);
  }

  /** Is this the memory of an opening, and no attempt any more? */
  isOpening(attempt: number): boolean {
    return this.#attempts.stage(attempt) === this.#locks[this.#attempts.door(attempt)]!.length;
  }

  #tell(event: KnockEvent): void {
    if (this.#events) this.#events.push(event);
    else this.#events = [event];
  }
}
