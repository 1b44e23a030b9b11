/**
 * Who would be banned if `mode = "observe"` dropped anything: told once for the time that the ban would last, and kept for `status` and
 * `attackers`. Points are not paid off by it, so that the mode that guards finds them. Bounded like the bans themselves.
 */

import { type Address, printAddress } from '../core/address.ts';

export class ObservedBans {
  readonly #most: number;
  readonly #until = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  has(source: Address, wallNow: number): boolean {
    return (this.#until.get(printAddress(source)) ?? 0) > wallNow;
  }

  size(wallNow: number): number {
    for (const [key, until] of this.#until) if (until <= wallNow) this.#until.delete(key);
    return this.#until.size;
  }

  /** False where it stands already, or there is no room. */
  begin(source: Address, duration: number, wallNow: number): boolean {
    if (this.has(source, wallNow) || this.size(wallNow) >= this.#most) return false;
    this.#until.set(printAddress(source), wallNow + duration);
    return true;
  }

  end(source: Address): void {
    this.#until.delete(printAddress(source));
  }

  clear(): void {
    this.#until.clear();
  }
}
