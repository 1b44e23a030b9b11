/**
 * Host names beside addresses in log lines (`-l`). Lookups run in a program of their own under another user id, because their
 * answers are strangers' bytes; lines of a source whose name is still being asked for wait, in order, doors never do. Each lookup is a
 * process, and anybody can cause one: few run at once, and addresses that come meanwhile stay without a name.
 */

import { type Address, printAddress } from '../core/address.ts';

/** Asks for the name of an address; undefined when it has none or nobody answers. */
export type Lookup = (address: string) => Promise<string | undefined>;

const MOST_KNOWN = 1000;
const MOST_ASKED = 8;
/** Of one address; the lines after these do not wait for its name. */
const MOST_WAITING = 100;

export class Names {
  readonly #lookup: Lookup | undefined;
  readonly #known = new Map<string, string>();
  readonly #waiting = new Map<string, ((label: string) => void)[]>();

  /** Without a lookup, addresses are all there is. */
  constructor(lookup?: Lookup) {
    this.#lookup = lookup;
  }

  /** Calls `use` with `IP` or `IP (name)`, now or as soon as the name is known. */
  withLabel(source: Address, use: (label: string) => void): void {
    const address = printAddress(source);
    const known = this.#known.get(address);
    const waiting = this.#waiting.get(address);
    if (waiting && waiting.length < MOST_WAITING) waiting.push(use);
    else if (known !== undefined) use(known);
    else if (!this.#lookup || waiting || this.#waiting.size >= MOST_ASKED) use(address);
    else this.#ask(this.#lookup, address, use);
  }

  #ask(lookup: Lookup, address: string, use: (label: string) => void): void {
    const waiting = [use];
    this.#waiting.set(address, waiting);
    const unnamed = (): undefined => undefined;
    void lookup(address)
      .catch(unnamed)
      .then((name) => {
        const label = name === undefined ? address : `${address} (${name})`;
        if (this.#known.size >= MOST_KNOWN) this.#known.clear();
        this.#known.set(address, label);
        this.#waiting.delete(address);
        for (const call of waiting) call(label);
      });
  }
}

/** The first name in `getent hosts` output, if it is one: letters, digits, dots, hyphens, underscores. */
export function nameFromGetent(output: string): string | undefined {
  const name = output.split('\n')[0]?.split(/\s+/)[1];
  return name !== undefined && /^[A-Za-z0-9._-]{1,253}$/.test(name) ? name : undefined;
}
