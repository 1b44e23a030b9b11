/** A door as the engine reads it: its steps as numbers, its bounds worked out once. */

import { type Address, sameAddress } from './address.ts';
import { MOST_STRAYS } from './attempts.ts';
import { type Door, fitsFlags, type Protocol, type TcpFlags } from './door.ts';
import type { Packet } from './packet.ts';

/** A protocol and a port in one number, 0-131071. */
export function stepKey(protocol: Protocol, port: number): number {
  return protocol === 'udp' ? 0x10000 | port : port;
}

const FEWEST_CANDIDATES = 4;

/** The lock of a door; undefined for one that is shut, having no steps. */
export function lockOf(door: Door): Lock | undefined {
  return door.steps.length === 0 ? undefined : new Lock(door);
}

export class Lock {
  readonly keys: readonly number[];
  readonly window: number;
  readonly strays: number;
  /** How many attempts of one source may live side by side. */
  readonly candidates: number;
  /** Must an opening be remembered, because its last packet, sent again, would be a first step? */
  readonly remembers: boolean;
  readonly target: Address | undefined;
  readonly #flags: TcpFlags;

  constructor(door: Door) {
    if (door.steps.length > 32) throw new RangeError(`A door of ${door.steps.length} steps`);
    this.keys = door.steps.map((step) => stepKey(step.protocol, step.port));
    this.window = door.window;
    this.strays = Math.min(door.strays, MOST_STRAYS);
    // As many as one run through the sequence can start, so that what gives way is never the run itself.
    const starts = this.keys.slice(0, -1).filter((key) => key === this.keys[0]).length;
    this.candidates = Math.max(FEWEST_CANDIDATES, starts);
    this.remembers = this.keys.at(-1) === this.keys[0] && door.steps[0]?.protocol === 'tcp';
    this.target = door.target;
    this.#flags = door.tcpFlags;
  }

  get length(): number {
    return this.keys.length;
  }

  /** Does the door look at this packet at all? `local` says whether its destination is one of our addresses. */
  sees(packet: Packet, local: boolean): boolean {
    if (this.target ? !sameAddress(this.target, packet.destination) : !local) return false;
    return packet.protocol === 'udp' || fitsFlags(this.#flags, packet.flags);
  }

  /** Is this one of the first `stage` steps? */
  hasMatched(stage: number, key: number): boolean {
    for (let index = 0; index < stage; index += 1) if (this.keys[index] === key) return true;
    return false;
  }

  /** Is this a step whose turn comes after the one that is due at `stage`? */
  comesLater(stage: number, key: number): boolean {
    for (let index = stage + 1; index < this.keys.length; index += 1) if (this.keys[index] === key) return true;
    return false;
  }
}
