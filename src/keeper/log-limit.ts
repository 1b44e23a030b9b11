/** Strangers do not fill the log: of what they cause, a bounded number of lines a second; the rest is counted, and said when there is room. */

import { Allowance } from '../core/allowance.ts';
import { type HistoryEntry, type HistoryEvent, STRANGERS } from '../core/history.ts';

const LINES = { perSecond: 20, burst: 500 };

/** An event, and as it was recorded where it was. */
export type Say = (event: HistoryEvent, entry?: HistoryEntry) => void;

/** Says what `say` says, within limits. */
export function limitStrangers(say: Say, monotonicNow: () => number): Say {
  const lines = new Allowance(LINES);
  let unsaid = 0;
  return (event, entry) => {
    if (STRANGERS.has(event.type) && !lines.take(monotonicNow())) {
      unsaid++;
      return;
    }
    if (unsaid > 0) say({ type: 'omitted', detail: `${unsaid} lines about strangers` });
    unsaid = 0;
    say(event, entry);
  };
}
