/** What is done to one thing is done one after another, in the order in which it was asked for; different things do not wait. */

export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Acts when all that was asked for before, under this key, has been done or has failed. */
  run<T>(key: string, act: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(key) ?? Promise.resolve()).then(act, act);
    const settled = turn
      .catch(() => {})
      .then(() => {
        if (this.#last.get(key) === settled) this.#last.delete(key);
      });
    this.#last.set(key, settled);
    return turn;
  }
}
