/** Where a reader of a ring begins that others have read before, while the kernel goes on filling it. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Blocks, firstBlock } from '../../src/capture/ring.ts';

const COUNT = 8;

/** A ring in which the kernel has begun `begun` blocks, of which the last `unread` full ones wait. */
class Ring implements Blocks {
  readonly count = COUNT;
  #begun: number;
  readonly #read: number;
  readonly #beforeLook: (look: number, ring: Ring) => void;
  #looks = 0;

  constructor(begun: number, unread: number, beforeLook: (look: number, ring: Ring) => void = () => {}) {
    this.#begun = begun;
    this.#read = begun - 1 - unread;
    this.#beforeLook = beforeLook;
  }

  /** The kernel hands the block it fills over and begins the next, if there is a free one. */
  handOver(): void {
    if (this.#begun - this.#read < COUNT) this.#begun++;
  }

  sequence(index: number): bigint {
    this.#beforeLook(this.#looks++, this);
    return BigInt(this.#sequenceOf(index));
  }

  waiting(index: number): boolean {
    this.#beforeLook(this.#looks++, this);
    const sequence = this.#sequenceOf(index);
    return sequence > this.#read && sequence < this.#begun;
  }

  /** Sequences begin at 1, in block 0. */
  #sequenceOf(index: number): number {
    const last = this.#begun - 1;
    const sequence = last - ((last - index + COUNT) % COUNT) + 1;
    return Math.max(0, sequence);
  }

  get expected(): number {
    return this.#read % COUNT;
  }
}

describe('A reader begins at', () => {
  test('the block being filled, when none waits', () => {
    for (let begun = 1; begun < 3 * COUNT; begun++) assert.equal(firstBlock(new Ring(begun, 0)), (begun - 1) % COUNT);
  });

  test('the oldest that waits', () => {
    for (let begun = 1; begun < 3 * COUNT; begun++)
      for (let unread = 0; unread < Math.min(begun, COUNT); unread++) {
        const ring = new Ring(begun, unread);
        assert.equal(firstBlock(ring), ring.expected, `${begun} begun, ${unread} unread`);
      }
  });

  test('the same, whatever the kernel hands over while it is looked for', () => {
    for (let begun = 1; begun < 2 * COUNT; begun++)
      for (let unread = 0; unread < Math.min(begun, COUNT - 3); unread++)
        for (let first = 0; first < 2 * COUNT; first++)
          for (let second = first; second < 3 * COUNT; second++) {
            const ring = new Ring(begun, unread, (look, moving) => {
              if (look === first) moving.handOver();
              if (look === second) moving.handOver();
            });
            const message = `${begun} begun, ${unread} unread, handed over before looks ${first} and ${second}`;
            assert.equal(firstBlock(ring), ring.expected, message);
          }
  });
});
