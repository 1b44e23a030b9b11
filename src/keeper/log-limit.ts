/**
 * Strangers do not fill the log, nor the disk that it is on: of what they cause, a bounded number of lines a second is said, and a smaller one
 * over the days; the rest is counted, and said when there is room.
 */

import { Allowance } from '../core/allowance.ts';
import { type HistoryEntry, type HistoryEvent, STRANGERS } from '../core/history.ts';

const LINES = { perSecond: 20, burst: 500 };
/** 192,800 lines in the first day, 172,800 in each day after. */
const LASTING = { perSecond: 2, burst: 20_000 };

/** An event, and as it was recorded where it was. */
export type Say = (event: HistoryEvent, entry?: HistoryEntry) => void;

/** Says what `say` says, within limits. */
export function limitStrangers(say: Say, monotonicNow: () => number): Say {
  const lines = new Allowance(LINES);
  const lasting = new Allowance(LASTING);
  const take = (): boolean => {
    const now = monotonicNow();
    return lines.take(now) && lasting.take(now);
  };
  let unsaid = 0;
  return (event, entry) => {
    const isStrangers = STRANGERS.has(event.type);
    if (isStrangers && !take()) {
      unsaid++;
      return;
    }
    // The count is a line, too: in the midst of a flood it waits.
    if (unsaid > 0 && (!isStrangers || take())) {
      say({ type: 'omitted', detail: `${unsaid} lines about strangers` });
      unsaid = 0;
    }
    say(event, entry);
  };
}
