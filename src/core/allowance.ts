/** A token bucket: so many at once, so many a second after that. Time is an argument, in milliseconds. */

export class Allowance {
  readonly #perMillisecond: number;
  readonly #burst: number;
  #left: number;
  #filled = Number.NEGATIVE_INFINITY;

  constructor(rate: { readonly perSecond: number; readonly burst: number }) {
    this.#perMillisecond = rate.perSecond / 1000;
    this.#burst = rate.burst;
    this.#left = rate.burst;
  }

  /** How many could be taken when one was last asked for. */
  get left(): number {
    return this.#left;
  }

  /** Takes one; false when there is none left at `now`. A clock that steps back refills nothing. */
  take(now: number): boolean {
    if (now > this.#filled) {
      if (this.#filled !== Number.NEGATIVE_INFINITY) {
        this.#left = Math.min(this.#burst, this.#left + (now - this.#filled) * this.#perMillisecond);
      }
      this.#filled = now;
    }
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
