/** History that lives as long as the process. Its size in bytes is not known, so only age and number count. */

import { type HistoryEntry, STRANGERS } from '../core/history.ts';
import { fits, type HistoryStore, lowestId } from './history-store.ts';

export function openMemoryHistory(initial: readonly HistoryEntry[] = []): HistoryStore {
  let entries = [...initial];
  return {
    last: () => entries.at(-1)?.id ?? 0,
    write: (batch) => void entries.push(...batch),
    latest: (query, limit, before = Number.POSITIVE_INFINITY) => {
      const found: HistoryEntry[] = [];
      for (let index = entries.length - 1; index >= 0 && found.length < limit; index--) {
        const entry = entries[index]!;
        if (entry.id < before && fits(query, entry)) found.push(entry);
      }
      return found;
    },
    following: (after, query, limit) =>
      entries.filter((entry) => entry.id > after && fits(query, entry)).slice(0, limit),
    trim: ({ age, entries: limit }, wallNow, most) => {
      const oldest = lowestId(wallNow - age);
      const half = Math.floor(limit / 2);
      const kinds = [true, false].map((stranger) => ({
        excess: entries.filter(({ type }) => STRANGERS.has(type) === stranger).length - half,
        removed: 0,
      }));
      const [strangers, own] = [kinds[0]!, kinds[1]!];
      if (strangers.excess <= 0 && own.excess <= 0 && (entries[0]?.id ?? oldest) >= oldest) return false;
      let more = false;
      entries = entries.filter(({ id, type }) => {
        const kind = STRANGERS.has(type) ? strangers : own;
        if (id >= oldest && kind.removed >= kind.excess) return true;
        if (kind.removed === most) {
          more = true;
          return true;
        }
        kind.removed++;
        return false;
      });
      return more;
    },
  };
}
