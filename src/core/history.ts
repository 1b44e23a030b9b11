/**
 * What is written down of everything that happened: one record an event, for `postern log` and whoever asks later. Past tense,
 * plain data. The words are a closed union, so that a script may rely on them.
 *
 * Events that strangers can cause at will are told from those that only we cause: where room is short, neither pushes the other out.
 */

/** How a grant, a ban or a leave came about: `points` are a stranger's; `adopted` was found standing, and nothing is known of its beginning. */
export const VIAS = ['knock', 'hand', 'points', 'adopted'] as const;
export type Via = (typeof VIAS)[number];

export type HistoryType =
  /** A grant began. */
  | 'opened'
  /** A grant's time began anew. */
  | 'renewed'
  /** A grant was ended before its time; the reason says by what. */
  | 'closed'
  /** A grant's time was over. */
  | 'expired'
  /** A grant that stood in the kernel, or in the state of an earlier run, was taken over. */
  | 'adopted'
  /** Somebody who knocked right was not let in; the reason says why. */
  | 'denied'
  /** An attempt ended without opening its door. */
  | 'failed'
  /** A source touched a trap, tried a protected port without a grant, touched many ports; the reason says which. */
  | 'trapped'
  | 'refused'
  | 'scanned'
  | 'banned'
  | 'unbanned'
  /** A source may pass every door for a while; no longer. */
  | 'allowed'
  | 'disallowed'
  /** A hook ended; the detail is its output. */
  | 'hooked'
  /** Somebody else had removed the guard, and it was put back. */
  | 'restored'
  | 'started'
  | 'reloaded'
  /** A configuration was put in force on trial; it stays; what was before is back. The reason names the trial. */
  | 'applied'
  | 'confirmed'
  | 'reverted'
  | 'stopped'
  /** Something needs the administrator. */
  | 'warned'
  /** So many events were not recorded, for want of room; the detail says how many. */
  | 'omitted';

export interface HistoryEvent {
  readonly type: HistoryType;
  readonly door?: string;
  /** As `printAddress` prints it. */
  readonly source?: string;
  readonly reason?: string;
  readonly via?: Via;
  readonly user?: string;
  readonly detail?: string;
}

export interface HistoryEntry extends HistoryEvent {
  /** Grows from entry to entry, over restarts too, and is never less than the microseconds of `time`. */
  readonly id: number;
  /** Wall time in milliseconds since 1970. */
  readonly time: number;
}

/** What strangers cause, as often as they like. */
export const STRANGERS: ReadonlySet<HistoryType> = new Set<HistoryType>([
  'denied',
  'failed',
  'trapped',
  'refused',
  'scanned',
  'banned',
  'unbanned',
]);

const TRIALS: ReadonlySet<HistoryType> = new Set<HistoryType>(['applied', 'confirmed', 'reverted']);

/** Somebody asked for it, and hears that it was done: it has to be on disk by then. */
export function isByHand({ type, via, user, reason }: HistoryEvent): boolean {
  return TRIALS.has(type) || via === 'hand' || user !== undefined || reason === 'by hand';
}
