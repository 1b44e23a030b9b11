/**
 * How much each source did lately, more or less: a count-min sketch (Cormode, Muthukrishnan 2005) with conservative update, halved whenever a
 * period ends. Never too little; too much by what others left in the same cells. It tells who does more than the forged crowd around him.
 */

import { type HashSeed, keyedHash } from './keyed-hash.ts';

const ROWS = 4;
/** 512 KiB in all. A flood of 100,000 packets a second leaves about two in a cell. */
const COLUMNS = 65_536;
const MOST = 0xffff;

export class WeightSketch {
  readonly #seed: HashSeed;
  readonly #cells = new Uint16Array(ROWS * COLUMNS);
  readonly #at = new Int32Array(ROWS);
  #empty = true;

  constructor(seed: HashSeed) {
    this.#seed = seed;
  }

  /** Adds to what a source did; how much it is now. `hash` is the source's. */
  add(hash: number, weight: number): number {
    const cells = this.#cells;
    const step = keyedHash(this.#seed, hash, 0, 0, 3) | 1;
    let least = MOST;
    for (let row = 0; row < ROWS; row += 1) {
      // Kirsch, Mitzenmacher 2006: two hashes do for all rows.
      const at = row * COLUMNS + (((hash + row * step) >>> 8) & (COLUMNS - 1));
      this.#at[row] = at;
      least = Math.min(least, cells[at]!);
    }
    const sum = Math.min(least + weight, MOST);
    for (let row = 0; row < ROWS; row += 1) {
      const at = this.#at[row]!;
      if (cells[at]! < sum) cells[at] = sum;
    }
    this.#empty = false;
    return sum;
  }

  /** A period is over: what was before counts half. */
  halve(): void {
    if (this.#empty) return;
    let left = 0;
    for (let at = 0; at < this.#cells.length; at += 1) {
      const half = this.#cells[at]! >>> 1;
      this.#cells[at] = half;
      left |= half;
    }
    this.#empty = left === 0;
  }
}
