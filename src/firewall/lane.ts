/** Operations of a driver, carried out one after another in the order in which they were asked for. */

export class Lane {
  #last: Promise<unknown> = Promise.resolve();

  /** Does it when everything before is done, failed or not. */
  run<T>(act: () => T | Promise<T>): Promise<T> {
    const done = this.#last.then(act);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Resolves when what was asked for so far is done. */
  settled(): Promise<unknown> {
    return this.#last;
  }
}
