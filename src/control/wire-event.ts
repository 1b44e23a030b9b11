/** Events as they are on the wire: flat objects, each with its `type` and `time` (ISO 8601 in UTC, with milliseconds). */

import type { HistoryEntry, HistoryType } from '../core/history.ts';
import type { LiveEvent, Stranger } from './controlled.ts';

/** Every type of event, and what it tells. */
export const HISTORY_WORDS: Readonly<Record<HistoryType, string>> = {
  opened: 'a grant began',
  renewed: "a grant's time began anew",
  closed: 'a grant was ended before its time',
  expired: "a grant's time was over",
  adopted: 'a grant that stood already was taken over',
  denied: 'somebody who knocked right was not let in',
  failed: 'an attempt ended without opening its door',
  trapped: 'somebody touched a trap',
  refused: 'somebody without a grant tried a protected port',
  scanned: 'somebody touched many ports',
  banned: 'what a source begins is not let through any more',
  unbanned: 'a ban ended',
  allowed: 'a source may pass every door for a while',
  disallowed: 'a source may no longer pass every door',
  hooked: 'a hook wrote something, or failed',
  restored: 'somebody else had removed the guard, and it was put back',
  started: 'the daemon started',
  reloaded: 'the configuration was read again',
  applied: 'a configuration was put in force on trial',
  confirmed: 'a trial was confirmed, the configuration stays',
  reverted: 'a trial was not confirmed, and what was in force before is back',
  stopped: 'the daemon stopped',
  warned: 'something needs the administrator',
  omitted: 'so many events were not recorded, for want of room',
};

/** What can be followed: everything that is recorded, and the knocks on the way. */
export type EventType = HistoryType | 'stage';

export interface Filter {
  readonly door?: string;
  /** Any of these. */
  readonly sources?: readonly string[];
  readonly types?: readonly EventType[];
}

/** A record of the history as it is on the wire. */
export type WireEntry = Omit<HistoryEntry, 'time'> & { readonly time: string };

export interface WireStage {
  readonly type: 'stage';
  readonly time: string;
  readonly door: string;
  readonly source: string;
  readonly stage: number;
  readonly of: number;
}

/** So many events of strangers' were left out: there were too many at once. */
export interface WireSkipped {
  readonly type: 'skipped';
  readonly time: string;
  readonly count: number;
}

export type WireEvent = WireEntry | WireStage | WireSkipped;

export function wireEntry({ id, time, type, door, source, reason, via, user, detail }: HistoryEntry): WireEntry {
  return {
    time: wireTime(time),
    type,
    ...(door !== undefined && { door }),
    ...(source !== undefined && { source }),
    ...(reason !== undefined && { reason }),
    ...(via !== undefined && { via }),
    ...(user !== undefined && { user }),
    ...(detail !== undefined && { detail }),
    id,
  };
}

/** Who has been probing, as on the wire. */
export type WireStranger = Omit<Stranger, 'since' | 'last'> & { readonly since: string; readonly last: string };

export function wireStranger({ since, last, ...rest }: Stranger): WireStranger {
  return { ...rest, since: wireTime(since), last: wireTime(last) };
}

export function wireEvent(event: LiveEvent): WireEntry | WireStage {
  if (event.kind === 'history') return wireEntry(event.entry);
  const { time, door, source, stage, of } = event;
  return { time: wireTime(time), type: 'stage', door, source, stage, of };
}

/** ISO 8601 in UTC with milliseconds; a clock outside of what dates can say is shown at their limit. */
export function wireTime(time: number): string {
  return new Date(Math.min(Math.max(time, -8.64e15), 8.64e15) || 0).toISOString();
}
