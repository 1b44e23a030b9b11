/** Which packets are anybody's: the first steps of which doors, ports that are steps, destinations that are targets. */

import { AddressSet } from './address-set.ts';
import type { Lock } from './lock.ts';

const NO_DOORS: readonly number[] = [];
const FIRST_STEP = 1;
const STEP = 2;
const KEYS = 0x20000;

export class StepIndex {
  readonly targets: AddressSet;
  readonly #roles = new Uint8Array(KEYS);
  readonly #starters = new Map<number, number[]>();

  constructor(locks: readonly (Lock | undefined)[]) {
    for (const [door, lock] of locks.entries()) {
      if (!lock) continue;
      for (const key of lock.keys) this.#roles[key]! |= STEP;
      const first = lock.keys[0]!;
      this.#roles[first]! |= FIRST_STEP;
      const sharers = this.#starters.get(first);
      if (sharers) sharers.push(door);
      else this.#starters.set(first, [door]);
    }
    this.targets = new AddressSet(locks.flatMap((lock) => lock?.target ?? []));
  }

  /** The doors whose first step this is, in order. */
  starters(key: number): readonly number[] {
    return (this.#roles[key]! & FIRST_STEP) === 0 ? NO_DOORS : this.#starters.get(key)!;
  }

  /** Is it a step of any door? */
  isStep(key: number): boolean {
    return (this.#roles[key]! & STEP) !== 0;
  }
}
