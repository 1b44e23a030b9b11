/**
 * How many different addresses there were, in one kilobyte: HyperLogLog with 1,024 registers (Flajolet et al. 2007), about 3 % off. Strangers
 * choose their addresses, but not the registers: the hash is keyed.
 */

import type { Address } from './address.ts';
import { type HashSeed, keyedHash } from './keyed-hash.ts';

const BITS = 10;
const REGISTERS = 1 << BITS;
/** Of 1,024 registers (Flajolet et al. 2007, figure 3). */
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS);

export class DistinctCount {
  readonly #seed: HashSeed;
  readonly #registers = new Uint8Array(REGISTERS);

  constructor(seed: HashSeed) {
    this.#seed = seed;
  }

  add({ a, b, c, d }: Address): void {
    const index = keyedHash(this.#seed, a, b, c, d) & (REGISTERS - 1);
    // A second hash: what chose the register says nothing about the rank.
    const rank = Math.clz32(keyedHash(this.#seed, d, c, b, ~a)) + 1;
    if (rank > this.#registers[index]!) this.#registers[index] = rank;
  }

  estimate(): number {
    let sum = 0;
    let empty = 0;
    for (const rank of this.#registers) {
      sum += 2 ** -rank;
      if (rank === 0) empty += 1;
    }
    const raw = (ALPHA * REGISTERS * REGISTERS) / sum;
    // Few: the registers that are still empty say it better.
    const few = raw <= 2.5 * REGISTERS && empty > 0;
    return Math.round(few ? REGISTERS * Math.log(REGISTERS / empty) : raw);
  }
}
