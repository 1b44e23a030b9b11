/**
 * One-time entries that were used: each is good once, ever. What cannot be remembered is not spent, so every trouble is a `SpentError`,
 * and the caller denies. One port; `sqlite-spent.ts` on disk, `memory-spent.ts` without.
 */

export interface SpentStore {
  /**
   * True exactly once for an entry, and then it is on the disk, proof against a crash and a power loss. Call it before the door opens.
   * Throws `SpentError`: the entry may be spent then, or not.
   */
  spend(entry: string): boolean;
  /** Why nothing can be spent; absent while all is well. */
  readonly refusal?: string;
}

/** It cannot be known, or not be remembered, whether the entry was used before. */
export class SpentError extends Error {
  override readonly name = 'SpentError';
}

/** Where there is no memory to rely on, nothing is spent. */
export function refuseSpending(refusal: string): SpentStore {
  return {
    spend: () => {
      throw new SpentError(refusal);
    },
    refusal,
  };
}
