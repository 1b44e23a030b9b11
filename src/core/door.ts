/**
 * What both halves know of a door: how it is knocked on. What happens when it opens is the keeper's own
 * (`keeper/`, `config/`) and never leaves it. Doors are named by their place in the list: knockd.conf allows two doors of one name.
 */

import type { Address } from './address.ts';

export type Protocol = 'tcp' | 'udp';

/** One packet of a knock: its protocol and destination port, 0-65535. */
export interface Step {
  readonly protocol: Protocol;
  readonly port: number;
}

/** TCP flag bits as on the wire (RFC 9293 § 3.1). */
export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;

/** Which TCP packets a door looks at: all bits of `set` are on and all bits of `clear` are off. {0, 0} is every TCP packet. */
export interface TcpFlags {
  readonly set: number;
  readonly clear: number;
}

/** How one door is knocked on. */
export interface Door {
  readonly name: string;
  /** 1-32 steps, in the order they have to arrive; without any the door is shut: a one-time door whose sequences are used up. */
  readonly steps: readonly Step[];
  /** Milliseconds from the first step to the last; a knock that takes this long or longer has failed. */
  readonly window: number;
  /** How many strays an attempt survives; 0 means that the first one ends it. */
  readonly strays: number;
  readonly tcpFlags: TcpFlags;
  /** The only destination that counts; without it, every local address does. */
  readonly target?: Address;
}

/** Does a TCP packet with these flag bits count for the door at all? */
export function fitsFlags(flags: TcpFlags, bits: number): boolean {
  return (bits & flags.set) === flags.set && (bits & flags.clear) === 0;
}

/** A TCP packet that opens a connection and nothing else: SYN without ACK, RST or FIN. */
export function isBareSyn(bits: number): boolean {
  return (bits & (SYN | ACK | RST | FIN)) === SYN;
}

/**
 * A TCP packet that belongs to no connection, by its flags alone: every packet of one but the first carries ACK or RST (RFC 9293 § 3.10.7).
 * A SYN, and what scanners send instead: FIN, nothing at all, FIN with PSH and URG ("Xmas"), SYN with FIN.
 */
export function isUnconnected(bits: number): boolean {
  return (bits & (ACK | RST)) === 0;
}

/** The knockd notation of a sequence: `7000:tcp,8000:udp`. */
export function printSteps(steps: readonly Step[]): string {
  return steps.map((step) => `${step.port}:${step.protocol}`).join(',');
}
