/** What the keeper tells: past tense, plain data. Log lines, history and what people watch are all made from these. */

import type { Address } from '../core/address.ts';
import type { Step } from '../core/door.ts';
import type { FailReason } from '../core/events.ts';
import type { Confinement, Counts, Report } from '../core/messages.ts';
import type { Sighting } from '../core/sightings.ts';

export type KeeperEvent =
  /** A knock came as far as `stage`; in time, or until its time was over. */
  | { readonly type: 'advanced'; readonly door: string; readonly source: Address; readonly stage: number }
  | { readonly type: 'expired'; readonly door: string; readonly source: Address; readonly stage: number }
  | {
      readonly type: 'failed';
      readonly door: string;
      readonly source: Address;
      readonly stage: number;
      readonly reason: FailReason;
    }
  /** A knock was completed. What it opens is told by whoever opens. */
  | { readonly type: 'knocked'; readonly door: string; readonly source: Address }
  /** A door was knocked open more often than it may be; told once until it calms down. */
  | { readonly type: 'flooded'; readonly door: string }
  /** A one-time sequence was used and marked; none left without `next`. */
  | { readonly type: 'spent'; readonly door: string; readonly next: readonly Step[] | undefined }
  /** A one-time sequence came that is not in its file, or marked there: it opened nothing. */
  | { readonly type: 'replayed'; readonly door: string }
  /** A used one-time sequence could not be marked: the door is disabled. */
  | { readonly type: 'unmarked'; readonly door: string }
  | { readonly type: 'packet'; readonly packet: Extract<Report, { readonly type: 'packet' }> }
  /** A watcher is ready; `changed` when it is shut in differently from the one before. */
  | { readonly type: 'confined'; readonly confinement: Confinement; readonly changed: boolean }
  | { readonly type: 'lost'; readonly packets: number }
  /** A stranger gave himself away. */
  | { readonly type: 'sighted'; readonly sighting: Sighting }
  | { readonly type: 'counted'; readonly counts: Counts }
  | { readonly type: 'interface-lost' | 'interface-back'; readonly name: string }
  /** The capture filter, or what it is made from, could not be renewed; told once until it can. */
  | { readonly type: 'filter-kept'; readonly reason: string };
