/**
 * Where history is kept for good. One port; `sqlite-history.ts` on disk, `memory-history.ts` without. In front of it stands `History`,
 * which numbers the entries and hands them over in batches.
 */

import type { HistoryEntry, HistoryType } from '../core/history.ts';

/** What to look for; all that is named has to fit. */
export interface HistoryQuery {
  readonly door?: string;
  /** Any of these. */
  readonly sources?: readonly string[];
  readonly user?: string;
  /** Any of these. */
  readonly types?: readonly HistoryType[];
  readonly reason?: string;
  /** Wall time in milliseconds: entries of that moment or later. */
  readonly since?: number;
}

export interface Retention {
  /** Milliseconds after which an entry goes. */
  readonly age: number;
  /** Entries at most: half of them of what strangers did, half of the rest, so that no flood washes away who was let in. */
  readonly entries: number;
  /** Bytes of the state file at most, as near as pages allow; the larger half gives way. */
  readonly bytes: number;
}

/** Synchronous. Failures throw. */
export interface HistoryStore {
  /** The highest number given so far; 0 when there is none. */
  last(): number;
  /** All of the batch or nothing; numbers grow. */
  write(batch: readonly HistoryEntry[]): void;
  /** The newest that fit and whose number is below `before`, newest first. */
  latest(query: HistoryQuery, limit: number, before?: number): readonly HistoryEntry[];
  /** Those that fit and whose number is above `after`, oldest first. */
  following(after: number, query: HistoryQuery, limit: number): readonly HistoryEntry[];
  /** Removes what has no place any more, the oldest first, at most `most` of each kind: a step that holds nobody up. True when more is to do. */
  trim(retention: Retention, wallNow: number, most: number): boolean;
}

/** What SQLite does with a query, for entries that are in memory. */
export function fits(query: HistoryQuery, entry: HistoryEntry): boolean {
  return (
    (query.door === undefined || entry.door === query.door) &&
    (query.sources === undefined || (entry.source !== undefined && query.sources.includes(entry.source))) &&
    (query.user === undefined || entry.user === query.user) &&
    (query.types === undefined || query.types.includes(entry.type)) &&
    (query.reason === undefined || entry.reason === query.reason) &&
    (query.since === undefined || entry.time >= query.since)
  );
}

/** The least number an entry of this time can have. */
export function lowestId(time: number): number {
  return Math.max(0, Math.floor(time * 1000));
}
