/** A seed for hash tables that strangers fill: nobody can tell which of their sources meet. */

import type { HashSeed } from '../core/keyed-hash.ts';

/** 64 random bits. */
export function randomSeed(): HashSeed {
  const [x = 0, y = 0] = crypto.getRandomValues(new Int32Array(2));
  return [x, y];
}
