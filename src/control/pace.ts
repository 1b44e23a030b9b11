/**
 * Answers that can be long are made one at a time, and after a long one there is a rest in proportion: whoever asks for all of
 * the history again and again waits for himself, and the daemon has its time for packets.
 */

/** Characters up to which an answer costs nothing worth resting for. */
const SHORT = 65_536;
/** Characters a millisecond: about a fifth of what the daemon could make of them. */
const PACE = 20_000;

export interface PacePorts {
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

export class Pace {
  readonly #ports: PacePorts;
  #last: Promise<unknown> = Promise.resolve();
  #rested = 0;

  constructor(ports: PacePorts) {
    this.#ports = ports;
  }

  /** Calls `make` when it is its turn; settles as it does. */
  run(make: () => Promise<string>): Promise<string> {
    const made = this.#last.then(async () => {
      const wait = this.#rested - this.#ports.monotonicNow();
      if (wait > 0) await new Promise<void>((resolve) => void this.#ports.after(wait, resolve));
      const answer = await make();
      if (answer.length > SHORT) this.#rested = this.#ports.monotonicNow() + answer.length / PACE;
      return answer;
    });
    this.#last = made.catch(() => {});
    return made;
  }
}
