/** What a state has to be given, in tests. */

import type { HistoryEntry, HistoryEvent } from '../../src/core/history.ts';
import type { Retention } from '../../src/store/history-store.ts';
import type { StatePorts } from '../../src/store/state.ts';
import { ManualClock } from './manual-clock.ts';

/** Nothing goes. */
export const RETENTION: Retention = {
  age: Number.POSITIVE_INFINITY,
  entries: Number.MAX_SAFE_INTEGER,
  bytes: Number.MAX_SAFE_INTEGER,
};

export interface ManualPorts extends StatePorts {
  readonly clock: ManualClock;
  readonly said: string[];
}

export function manualPorts(clock = new ManualClock()): ManualPorts {
  const said: string[] = [];
  return { clock, said, wallNow: clock.wallNow, after: clock.after, warn: (text) => void said.push(text) };
}

/** Entry number `id`, a millisecond after the one before. */
export function entry(id: number, event: Partial<HistoryEvent> = {}): HistoryEntry {
  return { type: 'opened', ...event, id: id * 1000, time: id };
}
