/** Spent entries that are forgotten with the process: for replays of recordings and for tests, never for a door. */

import type { SpentStore } from './spent-store.ts';

export function openMemorySpent(): SpentStore {
  const spent = new Set<string>();
  return {
    spend: (entry) => {
      if (spent.has(entry)) return false;
      spent.add(entry);
      return true;
    },
  };
}
