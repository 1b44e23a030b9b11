/**
 * Strangers do not fill the log, nor the disk that it is on: of what they cause, a bounded number of lines a second is said, and a smaller one
 * over the days; the rest is counted, and said when there is room. Knocks on the way, for debugging, have a bound of their own: they take
 * no room from events. What the level leaves out is not counted.
 */

import { Allowance } from '../core/allowance.ts';
import { STRANGERS } from '../core/history.ts';
import type { DaemonLog } from './daemon-log.ts';

const LINES = { perSecond: 20, burst: 500 };
/** 192,800 lines in the first day, 172,800 in each day after. */
const LASTING = { perSecond: 2, burst: 20_000 };

/** A log as far as strangers fill it. */
export type Filled = Pick<DaemonLog, 'event' | 'stage'>;

/** Says what `log` says, within limits. */
export function limitStrangers(log: Filled & Pick<DaemonLog, 'shows'>, monotonicNow: () => number): Filled {
  const bound = (what: string): Bound =>
    new Bound(monotonicNow, (count) => log.event({ type: 'omitted', detail: `${count} lines about ${what}` }));
  const strangers = bound('strangers');
  const knocks = bound('knocks on the way');
  return {
    event: (event, entry) => {
      if (log.shows(event.type) && strangers.admits(STRANGERS.has(event.type))) log.event(event, entry);
    },
    stage: (stage) => {
      if (log.shows('stage') && knocks.admits(true)) log.stage(stage);
    },
  };
}

class Bound {
  readonly #lines = new Allowance(LINES);
  readonly #lasting = new Allowance(LASTING);
  readonly #monotonicNow: () => number;
  readonly #tell: (count: number) => void;
  #unsaid = 0;

  constructor(monotonicNow: () => number, tell: (count: number) => void) {
    this.#monotonicNow = monotonicNow;
    this.#tell = tell;
  }

  /** May the next line be said? Always, when it is ours; the count of those that might not comes before it. */
  admits(isStrangers: boolean): boolean {
    if (isStrangers && !this.#take()) {
      this.#unsaid++;
      return false;
    }
    // The count is a line, too: in the midst of a flood it waits.
    if (this.#unsaid > 0 && (!isStrangers || this.#take())) {
      this.#tell(this.#unsaid);
      this.#unsaid = 0;
    }
    return true;
  }

  #take(): boolean {
    const now = this.#monotonicNow();
    return this.#lines.take(now) && this.#lasting.take(now);
  }
}
