/**
 * The stop commands that are still to come: on disk before the door opens, by timer when their time is up, handed to the next
 * daemon (or the closer) when this one dies.
 *
 * Due times are wall time on disk and monotonic in memory. A stop that is found at start is run when it is due, at once when
 * overdue or of an earlier boot, and never later than its longest wait from now: a clock that was set back cannot keep a door open.
 * Stops run at least once: the record goes when the command has ended.
 */

import { timeLeft } from '../store/due.ts';
import type { PendingStop, StopStore } from '../store/stop-store.ts';

export interface StopPorts {
  readonly wallNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
  /** Which boot this is; undefined where it cannot be told. */
  readonly boot: string | undefined;
  /** Runs the stop command; calls back when it has ended. */
  readonly run: (stop: PendingStop, ended: () => void) => void;
  /** The store failed: a full or read-only disk. The stop stays in memory. */
  readonly storeFailed: (error: unknown) => void;
  /** A stop is pending now: somebody has to be there for it even if this process is killed. */
  readonly scheduled?: () => void;
}

interface Waiting {
  stop: PendingStop;
  cancel: () => void;
}

export class PendingStops {
  readonly #store: StopStore;
  readonly #ports: StopPorts;
  readonly #waiting = new Map<string, Waiting>();
  #unstored = 0;

  constructor(store: StopStore, ports: StopPorts) {
    this.#store = store;
    this.#ports = ports;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Takes over what an earlier process left; returns how many. */
  adopt(): number {
    const left = this.#attempt(() => this.#store.all()) ?? [];
    const now = this.#ports.wallNow();
    for (const stop of left) {
      const key = keyOf(stop.door, stop.source, stop.command);
      // Two records of one grant can only be a renewal that died half way: the later one counts.
      this.#drop(key);
      // What a door opened before the machine started anew is gone: a knock has to open it again.
      const isOld = stop.boot !== undefined && stop.boot !== this.#ports.boot;
      this.#wait(key, stop, isOld ? 0 : timeLeft(stop.due, stop.longest, now));
    }
    return left.length;
  }

  /** Is there a grant of this door for this source that this command ends? */
  has(door: string, source: string, command: string): boolean {
    return this.#waiting.has(keyOf(door, source, command));
  }

  /**
   * Records a stop `delay` milliseconds from now, replacing the grant's earlier one; `starter` is the process of its start command, if
   * that is another one now.
   */
  schedule(door: string, source: string, command: string, delay: number, starter?: string): void {
    const key = keyOf(door, source, command);
    const due = this.#ports.wallNow() + delay;
    const earlier = this.#waiting.get(key);
    earlier?.cancel();
    const waitsFor = starter ?? earlier?.stop.starter;
    const { boot } = this.#ports;
    const stop = {
      ...{ door, source, command, due, longest: delay },
      ...(waitsFor !== undefined && { starter: waitsFor }),
      ...(boot !== undefined && { boot }),
    };
    const moved =
      earlier &&
      earlier.stop.id > 0 &&
      this.#attempt(() => this.#store.postpone(earlier.stop.id, due, delay, waitsFor));
    const id = moved ? earlier.stop.id : (this.#attempt(() => this.#store.add(stop)) ?? --this.#unstored);
    this.#wait(key, { ...stop, id }, delay);
  }

  /** Stops waiting, but leaves the records: whoever comes next closes the doors. */
  release(): void {
    for (const waiting of this.#waiting.values()) waiting.cancel();
    this.#waiting.clear();
    this.#attempt(() => this.#store.close());
  }

  #wait(key: string, stop: PendingStop, delay: number): void {
    const cancel = this.#ports.after(delay, () => {
      this.#waiting.delete(key);
      this.#ports.run(stop, () => {
        if (stop.id > 0) this.#attempt(() => this.#store.remove(stop.id));
      });
    });
    this.#waiting.set(key, { stop, cancel });
    this.#ports.scheduled?.();
  }

  #drop(key: string): void {
    const waiting = this.#waiting.get(key);
    if (!waiting) return;
    waiting.cancel();
    this.#waiting.delete(key);
    if (waiting.stop.id > 0) this.#attempt(() => this.#store.remove(waiting.stop.id));
  }

  #attempt<T>(act: () => T): T | undefined {
    try {
      return act();
    } catch (error) {
      this.#ports.storeFailed(error);
      return undefined;
    }
  }
}

/** What ends a grant is part of it: after a reload a door may be open twice, each to be closed in its own way. */
function keyOf(door: string, source: string, command: string): string {
  return `${door}\0${source}\0${command}`;
}
