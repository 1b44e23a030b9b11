/** Random numbers that a seed brings back: the same seed, the same numbers. Not for secrets. */

export interface Random {
  /** 0 up to, not including, `limit`; 0 when that is 0. */
  below(limit: number): number;
  /** One of them. */
  of<T>(choices: readonly T[]): T;
}

/** xorshift32 (Marsaglia 2003) behind a step that spreads neighbouring seeds. */
export function randomFrom(seed: number): Random {
  let state = Math.imul(seed ^ (seed >>> 16), 0x45d9f3b) ^ 0x9e3779b9;
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35) | 1;
  const below = (limit: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 0x1_0000_0000) * limit);
  };
  return { below, of: (choices) => choices[below(choices.length)]! };
}
