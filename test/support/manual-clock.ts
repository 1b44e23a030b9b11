/** Time as a variable: a wall clock that is set, and timers that fire when it is moved on. */

export class ManualClock {
  /** Milliseconds since 1970; setting it is what an administrator does, and fires nothing. */
  wall: number;
  #elapsed = 0;
  readonly #timers = new Set<{ readonly at: number; readonly call: () => void }>();

  constructor(wall = Date.UTC(2030, 0, 1)) {
    this.wall = wall;
  }

  readonly wallNow = (): number => this.wall;
  readonly monotonicNow = (): number => this.#elapsed;

  readonly after = (delay: number, call: () => void): (() => void) => {
    const timer = { at: this.#elapsed + delay, call };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  get timers(): number {
    return this.#timers.size;
  }

  /** Lets time pass: timers fire in their order, those that they start as well. */
  advance(milliseconds: number): void {
    const end = this.#elapsed + milliseconds;
    for (;;) {
      const next = [...this.#timers].sort((x, y) => x.at - y.at)[0];
      if (!next || next.at > end) break;
      this.wall += next.at - this.#elapsed;
      this.#elapsed = next.at;
      this.#timers.delete(next);
      next.call();
    }
    this.wall += end - this.#elapsed;
    this.#elapsed = end;
  }
}
