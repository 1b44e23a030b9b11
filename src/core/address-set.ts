/** A fixed set of addresses that is asked for every packet. */

import { type Address, sameAddress } from './address.ts';

export class AddressSet {
  // By last word: the addresses of one host hardly ever share it.
  readonly #byLastWord = new Map<number, readonly Address[]>();

  constructor(addresses: Iterable<Address>) {
    for (const address of addresses) {
      this.#byLastWord.set(address.d, [...(this.#byLastWord.get(address.d) ?? []), address]);
    }
  }

  has(address: Address): boolean {
    const candidates = this.#byLastWord.get(address.d);
    if (!candidates) return false;
    for (const candidate of candidates) if (sameAddress(candidate, address)) return true;
    return false;
  }
}
