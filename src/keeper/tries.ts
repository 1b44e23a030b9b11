/**
 * What the firewall has written down of strangers (`Try`), told as sightings: datagrams to protected ports, and ACKs of no session, which no
 * capture could tell from the traffic of those who are let in. Asked for every five seconds, told once for each time that the firewall wrote it
 * down, and of 64 a time at most; the others wait for the next.
 */

import { type Address, printAddress } from '../core/address.ts';
import type { Sighting } from '../core/sightings.ts';
import type { Try } from '../firewall/driver.ts';

export interface TriesPorts {
  /** What is written down now. */
  readonly tried: () => Promise<readonly Try[]>;
  /** What a port of this protocol is to strangers; undefined for one that is not their matter. */
  readonly touch: (tried: Try) => 'trap' | 'closed' | undefined;
  readonly hasSession: (source: Address) => Promise<boolean>;
  readonly sighted: (sighting: Sighting) => void;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

/** Milliseconds between two looks. */
const LOOK_EVERY = 5000;
const MOST_TOLD = 64;
/** ipset counts whole seconds, and a list takes its time. */
const SLACK = 3000;

export class Tries {
  readonly #ports: TriesPorts;
  /** Until when what is told stands in the firewall. */
  #known: ReadonlyMap<string, number> = new Map();
  #cancel: (() => void) | undefined;

  constructor(ports: TriesPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#cancel ??= this.#ports.after(LOOK_EVERY, () => void this.#again());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Looks once, and tells what is new. */
  async look(): Promise<void> {
    const now = this.#ports.monotonicNow();
    const known = new Map<string, number>();
    let told = 0;
    for (const tried of await this.#ports.tried()) {
      const key = `${printAddress(tried.source)} ${tried.protocol} ${tried.port}`;
      if (known.has(key)) continue;
      const until = now + tried.remaining;
      const before = this.#known.get(key);
      const isNew = before === undefined || until > before + SLACK;
      if (isNew && told >= MOST_TOLD) continue;
      known.set(key, isNew ? until : before);
      if (isNew && (await this.#tell(tried))) told += 1;
    }
    this.#known = known;
  }

  async #again(): Promise<void> {
    // What can not be asked is asked again: a guard that is gone is told of by those who put it back.
    await this.look().catch(() => {});
    if (this.#cancel === undefined) return;
    this.#cancel = undefined;
    this.start();
  }

  async #tell(tried: Try): Promise<boolean> {
    const { source, protocol, port } = tried;
    const touch = this.#ports.touch(tried);
    // A segment that comes too late for a session that lives.
    if (touch === undefined || (protocol === 'tcp' && (await this.#ports.hasSession(source)))) return false;
    const [traps, closed] = touch === 'trap' ? [1, 0] : [0, 1];
    this.#ports.sighted({ source, traps, closed, unused: 0, ports: [{ protocol, port }], distinct: 1 });
    return true;
  }
}
