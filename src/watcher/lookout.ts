/**
 * The watcher's eye for strangers: which packets give their sender away, and when that is told. What was seen goes out twice a second at
 * most, of no more than 64 sources (`core/sightings.ts`): a flood costs lines, not knocks.
 *
 * Of a source that has knocked right, all is told before the opening is: afterwards nobody could say that it had no grant.
 *
 * A step of a knock is never evidence, whatever else its port is. Without orders to watch anything, nothing is looked at.
 */

import type { Address } from '../core/address.ts';
import { AddressSet } from '../core/address-set.ts';
import { isUnconnected } from '../core/door.ts';
import type { Order, Report } from '../core/messages.ts';
import type { Packet } from '../core/packet.ts';
import type { PortRange } from '../core/policy.ts';
import { Sightings, type Touch } from '../core/sightings.ts';

export interface LookoutPorts {
  /** Hands a report on; false when it was dropped. */
  readonly send: (report: Report) => boolean;
  /** Two random words. */
  readonly random: Int32Array;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

type Configure = Extract<Order, { readonly type: 'configure' }>;

/** Milliseconds from the first sighting to its telling. */
const TOLD_AFTER = 500;

const NOBODYS = 1;
const TRAP = 2;
const CLOSED = 3;
/** A TCP port of no kind is one where nothing is. */
const TOUCHES: readonly (Touch | undefined)[] = ['unused', undefined, 'trap', 'closed'];

export class Lookout {
  readonly #ports: LookoutPorts;
  readonly #sightings: Sightings;
  #orders: Configure | undefined;
  #local: AddressSet | 'any' = new AddressSet([]);
  #publicPorts: readonly number[] = [];
  #tcp = new Uint8Array(0x10000);
  #udpTraps = new Uint8Array(0x10000);
  #waiting = false;

  constructor(ports: LookoutPorts) {
    this.#ports = ports;
    const [x = 0, y = 0] = ports.random;
    this.#sightings = new Sightings([~x, ~y]);
  }

  get totals(): { readonly sighted: number; readonly strangers: number } {
    const { packets, sources } = this.#sightings.totals;
    return { sighted: packets, strangers: sources };
  }

  configure(orders: Configure): void {
    this.#orders = orders.watched ? orders : undefined;
    this.#publicPorts = orders.publicPorts;
    this.setLocalAddresses(orders.addresses);
    this.#classify();
  }

  setLocalAddresses(addresses: readonly Address[] | 'any'): void {
    this.#local = addresses === 'any' ? 'any' : new AddressSet(addresses);
  }

  setPublicPorts(ports: readonly number[]): void {
    this.#publicPorts = ports;
    this.#classify();
  }

  packet(packet: Packet, now: number): void {
    if (!this.#orders) return;
    const touch = this.#touch(packet);
    if (touch === undefined || !this.#concerns(packet)) return;
    const { source, sourcePort, sequence, protocol, destinationPort } = packet;
    this.#sightings.note(touch, { source, sourcePort, sequence, protocol, port: destinationPort }, now);
    if (this.#waiting || this.#sightings.empty) return;
    this.#waiting = true;
    this.#ports.after(TOLD_AFTER, () => this.#tell());
  }

  /** Tells now what is to be told of a source. */
  tellOf(source: Address): void {
    const sighting = this.#sightings.takeOf(source);
    if (sighting) this.#ports.send({ type: 'sighted', sighting });
  }

  #touch({ protocol, destinationPort, flags }: Packet): Touch | undefined {
    if (protocol === 'udp') return this.#udpTraps[destinationPort] === TRAP ? 'trap' : undefined;
    return isUnconnected(flags) ? TOUCHES[this.#tcp[destinationPort]!] : undefined;
  }

  /** To us, and not from ourselves. */
  #concerns({ source, destination }: Packet): boolean {
    return this.#local === 'any' || (this.#local.has(destination) && !this.#local.has(source));
  }

  #tell(): void {
    this.#waiting = false;
    for (const sighting of this.#sightings.take()) this.#ports.send({ type: 'sighted', sighting });
  }

  #classify(): void {
    if (!this.#orders) return;
    const { watched, doors } = this.#orders;
    const tcp = new Uint8Array(0x10000);
    const udp = new Uint8Array(0x10000);
    const mark = (ranges: readonly PortRange[], kind: number): void => {
      for (const { protocol, first, last } of ranges) (protocol === 'tcp' ? tcp : udp).fill(kind, first, last + 1);
    };
    for (const port of this.#publicPorts) tcp[port] = NOBODYS;
    mark(watched?.closed ?? [], CLOSED);
    mark(watched?.traps ?? [], TRAP);
    for (const { protocol, port } of doors.flatMap(({ steps }) => steps))
      (protocol === 'tcp' ? tcp : udp)[port] = NOBODYS;
    this.#tcp = tcp;
    this.#udpTraps = udp;
  }
}
