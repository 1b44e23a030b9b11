/**
 * What the knock engine tells: past tense, plain data. Logs, history and proposals to the keeper are all made from these.
 *
 * Several attempts of one source may be on their way at one door. Of what a packet does to them only the furthest is told, so
 * that a plain knock reads as in knockd: stage 1, stage 2, stage 3, opened. What was never told of ends in silence.
 */

import type { Address } from './address.ts';

/** Why an attempt ended without opening its door. */
export type FailReason =
  | 'strays' // more packets that were not its next step than the door allows
  | 'order' // a later step of its own sequence came before its turn
  | 'evicted'; // the oldest attempt gave way to a new one, because a bound was reached

export type KnockEvent =
  /** The source matched step number `stage` (1 is the first). */
  | { readonly type: 'advanced'; readonly door: number; readonly source: Address; readonly stage: number }
  /** The last step came in time. */
  | { readonly type: 'opened'; readonly door: number; readonly source: Address }
  /** The door's window closed on an attempt that had reached `stage`. */
  | { readonly type: 'expired'; readonly door: number; readonly source: Address; readonly stage: number }
  | {
      readonly type: 'failed';
      readonly door: number;
      readonly source: Address;
      readonly stage: number;
      readonly reason: FailReason;
    };
