/** What the daemon tells of what happens: written down in the history, said in the log, and told to whoever follows; knocks on the way are told alone. */

import type { LiveEvent } from '../control/controlled.ts';
import { type HistoryEntry, type HistoryEvent, isByHand } from '../core/history.ts';
import type { History } from '../store/history.ts';

export type LiveStage = Extract<LiveEvent, { readonly kind: 'stage' }>;

export interface ChroniclePorts {
  readonly history: History;
  /** Every event that is recorded, for the log; as it was recorded, too. */
  readonly say: (event: HistoryEvent, entry: HistoryEntry) => void;
  /** Debugging: what is not recorded. */
  readonly whisper: (stage: LiveStage) => void;
}

export class Chronicle {
  readonly #ports: ChroniclePorts;
  readonly #listeners = new Set<(event: LiveEvent) => void>();

  constructor(ports: ChroniclePorts) {
    this.#ports = ports;
  }

  record(event: HistoryEvent): void {
    const { history, say } = this.#ports;
    const entry = history.append(event);
    if (isByHand(event)) history.flush();
    say(event, entry);
    this.#tell({ kind: 'history', entry });
  }

  stage(stage: LiveStage): void {
    this.#ports.whisper(stage);
    this.#tell(stage);
  }

  /** Calls back for everything that happens until the result is called. */
  follow(heard: (event: LiveEvent) => void): () => void {
    this.#listeners.add(heard);
    return () => void this.#listeners.delete(heard);
  }

  #tell(event: LiveEvent): void {
    for (const heard of this.#listeners) heard(event);
  }
}
