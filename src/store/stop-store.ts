/** Where pending stop commands are kept so that they outlive the daemon. One port; `sqlite-stops.ts` on disk, `memory-stops.ts` without. */

/** A command that has to run at `due`, whoever is alive then. */
export interface PendingStop {
  readonly id: number;
  /** The door's key in the configuration it was opened under. */
  readonly door: string;
  readonly source: string;
  /** The whole shell line, `%IP%` replaced: a later configuration does not change how an open door is closed. */
  readonly command: string;
  /** Wall time in milliseconds since 1970. */
  readonly due: number;
  /** The longest this stop may still wait, in milliseconds: what bounds the harm of a clock that was set back. */
  readonly longest: number;
  /** The boot that the door was opened in: what it opened is gone with it. Absent where boots cannot be told apart. */
  readonly boot?: string;
  /** The process of the start command, as `markProcess` writes it down: while it runs the stop has to wait. */
  readonly starter?: string;
}

/** Every method is synchronous and durable against the death of the process when it returns. Failures throw. */
export interface StopStore {
  add(stop: Omit<PendingStop, 'id'>): number;
  /** Moves a stop and says anew what it waits for; false when it is not there any more. */
  postpone(id: number, due: number, longest: number, starter?: string): boolean;
  remove(id: number): void;
  /** All stops, the earliest due first. */
  all(): readonly PendingStop[];
  close(): void;
}
