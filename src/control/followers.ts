/**
 * Those who hear what happens while it happens. The daemon is listened to only while there are any; an event becomes text once for
 * all of them. What strangers cause is let through at a bounded rate, and the rest is counted: a flood must not keep the daemon busy.
 */

import { Allowance } from '../core/allowance.ts';
import { STRANGERS } from '../core/history.ts';
import type { Controlled, LiveEvent } from './controlled.ts';
import { printEvent } from './protocol.ts';
import { type EventType, type Filter, wireEvent, wireTime } from './wire-event.ts';

export interface Follower {
  readonly filter: Filter;
  readonly hear: (line: string) => void;
}

const STRANGERS_RATE = { perSecond: 500, burst: 1000 };

export class Followers {
  readonly #follow: Controlled['follow'];
  readonly #monotonicNow: () => number;
  readonly #followers = new Set<Follower>();
  readonly #allowance = new Allowance(STRANGERS_RATE);
  #stop: (() => void) | undefined;
  #skipped = 0;

  constructor(follow: Controlled['follow'], monotonicNow: () => number) {
    this.#follow = follow;
    this.#monotonicNow = monotonicNow;
  }

  get count(): number {
    return this.#followers.size;
  }

  add(follower: Follower): void {
    this.#stop ??= this.#follow((event) => this.#tell(event));
    this.#followers.add(follower);
  }

  remove(follower: Follower): void {
    if (!this.#followers.delete(follower) || this.#followers.size > 0) return;
    this.#stop?.();
    this.#stop = undefined;
    this.#skipped = 0;
  }

  #tell(event: LiveEvent): void {
    const { type, door, source, time } = event.kind === 'history' ? event.entry : { ...event, type: 'stage' as const };
    if ((type === 'stage' || STRANGERS.has(type)) && !this.#allowance.take(this.#monotonicNow())) {
      this.#skipped++;
      return;
    }
    if (this.#skipped > 0) {
      const skipped = printEvent({ time: wireTime(time), type: 'skipped', count: this.#skipped });
      this.#skipped = 0;
      for (const { hear } of this.#followers) hear(skipped);
    }
    let line: string | undefined;
    for (const { filter, hear } of this.#followers) {
      if (!fits(filter, type, door, source)) continue;
      line ??= printEvent(wireEvent(event));
      hear(line);
    }
  }
}

function fits(filter: Filter, type: EventType, door: string | undefined, source: string | undefined): boolean {
  if (filter.types && !filter.types.includes(type)) return false;
  if (filter.door !== undefined && filter.door !== door) return false;
  return filter.sources === undefined || (source !== undefined && filter.sources.includes(source));
}
