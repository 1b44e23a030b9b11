/**
 * The journal of everything that happened, for people to ask later.
 *
 * - `append` only puts the entry into a queue, so it costs a door nothing; a timer hands the queue on in small batches with pauses between
 *   them. Who asks sees the queue too. A kill loses what is still in it, at most `DELAY` and what a flood has piled up; the grants
 *   themselves are on disk before their doors open (`rows.ts`), and are recorded as adopted at the next start.
 * - Bounded: strangers fill three quarters of the queue at most. What finds no room is counted, and the count is recorded.
 * - While the disk fails, the queue keeps the newest entries, and tries again.
 */

import { type HistoryEntry, type HistoryEvent, STRANGERS } from '../core/history.ts';
import { fits, type HistoryQuery, type HistoryStore, lowestId, type Retention } from './history-store.ts';

export interface HistoryPorts {
  readonly wallNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
  /** A batch could not be written; called at each failure. */
  readonly failed: (error: unknown) => void;
  /** The first batch after that was. */
  readonly caughtUp: () => void;
}

/** From an entry to the writing of it, and between batches: 3,200 entries a second at most, for a twentieth of the processor. */
export const DELAY = 100;
const PAUSE = 20;
const RETRY = 5000;
/** Entries of a batch: about a millisecond. */
export const BATCH = 64;
export const QUEUE = 4096;
export const STRANGERS_SHARE = 3072;
/** UTF-16 units of a text that are kept; a hook may write much. */
const LONGEST_TEXT = 4096;

export class History {
  readonly #store: HistoryStore;
  readonly #ports: HistoryPorts;
  #retention: Retention;
  #queue: HistoryEntry[] = [];
  #strangers = 0;
  #omitted = 0;
  #last: number;
  #cancel: (() => void) | undefined;
  #failing = false;

  constructor(store: HistoryStore, ports: HistoryPorts, retention: Retention) {
    this.#store = store;
    this.#ports = ports;
    this.#retention = retention;
    this.#last = store.last();
  }

  /** Records an event now; the entry as it will be found. Never throws. */
  append(event: HistoryEvent): HistoryEntry {
    const time = this.#ports.wallNow();
    this.#last = Math.max(this.#last + 1, lowestId(time));
    const entry: HistoryEntry = { ...event, id: this.#last, time };
    const stranger = STRANGERS.has(event.type);
    if (stranger && this.#strangers >= STRANGERS_SHARE) {
      this.#omitted++;
      return entry;
    }
    if (this.#queue.length >= QUEUE) {
      this.#takeOut(1);
      this.#omitted++;
    }
    this.#queue.push(shortened(entry));
    if (stranger) this.#strangers++;
    this.#wait(DELAY);
    return entry;
  }

  /** The newest entries that fit, newest first; `before` (a number) goes on where an earlier answer ended. Throws when the disk fails. */
  latest(query: HistoryQuery, limit: number, before = Number.MAX_SAFE_INTEGER): readonly HistoryEntry[] {
    const found = this.#queue.filter((entry) => entry.id < before && fits(query, entry)).reverse();
    if (found.length >= limit) return found.slice(0, limit);
    return [...found, ...this.#store.latest(query, limit - found.length, before)];
  }

  /** The entries that fit and came after the one of this number, oldest first. Throws when the disk fails. */
  following(after: number, query: HistoryQuery, limit: number): readonly HistoryEntry[] {
    const found = this.#store.following(after, query, limit);
    if (found.length >= limit) return found;
    return [...found, ...this.#queue.filter((entry) => entry.id > after && fits(query, entry))].slice(0, limit);
  }

  /** Writes all that is queued: at the end, or where an entry has to be on disk at once. False when the disk fails. */
  flush(): boolean {
    while (this.#queue.length > 0) if (!this.#writeBatch()) return false;
    this.#stopWaiting();
    return true;
  }

  /** Sets how much is kept, as after a reload. */
  retain(retention: Retention): void {
    this.#retention = retention;
  }

  /** Removes a little of what is too old or too much; true when more is to do. Throws when the disk fails. */
  trim(): boolean {
    return this.#store.trim(this.#retention, this.#ports.wallNow(), BATCH);
  }

  /** Writes what it can and stops its timer. */
  close(): void {
    this.flush();
    this.#stopWaiting();
  }

  #wait(delay: number): void {
    this.#cancel ??= this.#ports.after(delay, () => {
      this.#cancel = undefined;
      const written = this.#writeBatch();
      if (this.#queue.length > 0) this.#wait(written ? PAUSE : RETRY);
    });
  }

  #stopWaiting(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #writeBatch(): boolean {
    try {
      const batch = this.#queue.slice(0, BATCH);
      this.#store.write(batch);
      this.#takeOut(batch.length);
      this.#store.trim(this.#retention, this.#ports.wallNow(), BATCH);
      if (this.#failing) this.#ports.caughtUp();
      this.#failing = false;
      if (this.#omitted > 0 && this.#queue.length === 0) {
        const count = this.#omitted;
        this.#omitted = 0;
        this.append({ type: 'omitted', detail: String(count) });
      }
      return true;
    } catch (error) {
      this.#failing = true;
      this.#ports.failed(error);
      return false;
    }
  }

  #takeOut(count: number): void {
    for (const { type } of this.#queue.splice(0, count)) if (STRANGERS.has(type)) this.#strangers--;
  }
}

function shortened(entry: HistoryEntry): HistoryEntry {
  const { detail } = entry;
  return detail === undefined || detail.length <= LONGEST_TEXT
    ? entry
    : { ...entry, detail: detail.slice(0, LONGEST_TEXT) };
}
