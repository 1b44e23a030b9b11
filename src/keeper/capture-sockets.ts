/**
 * The packet sockets of the interfaces that are watched, with their filters: opened before anything else, kept until the end.
 *
 * The filter follows the doors, the addresses and the public ports; it is replaced on the live socket in one step. An interface
 * that disappears and comes back has a new number: its socket is bound again, ring and watcher stay as they are.
 */

import type { Address } from '../core/address.ts';
import { encodeProgram } from '../core/bpf.ts';
import { buildCaptureFilter } from '../core/capture-filter.ts';
import type { Door } from '../core/door.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { close, interfaceIndex, SystemError } from '../platform/libc.ts';
import { attachFilter, bindToInterface, openPacketSocket } from '../platform/packet-socket.ts';

/** What decides which packets are let through. */
export interface FilterInput {
  readonly doors: readonly Door[];
  readonly publicPorts: readonly number[];
  readonly ipv6: boolean;
}

interface Watched {
  readonly name: string;
  readonly fd: number;
  /** The interface's number while the socket is bound to it; 0 while it is away. */
  index: number;
  addresses: readonly Address[];
  filter: string;
}

export class CaptureSockets {
  readonly #watched: Watched[] = [];
  #input: FilterInput;

  /** Opens and binds them all, or throws a `CaptureError` in knockd's words and opens none. */
  constructor(names: readonly string[], input: FilterInput) {
    this.#input = input;
    try {
      for (const name of names) this.#watched.push(this.#open(name));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get descriptors(): readonly number[] {
    return this.#watched.map((watched) => watched.fd);
  }

  /** All local addresses that count, each once. */
  get addresses(): readonly Address[] {
    return this.#watched.flatMap((watched) => watched.addresses);
  }

  /** Attaches filters for what counts now. */
  refilter(input: FilterInput): void {
    this.#input = input;
    for (const watched of this.#watched) this.#attach(watched);
  }

  /** Looks at interfaces and addresses anew; says what came and went, and whether addresses changed. */
  refresh(): { readonly lost: readonly string[]; readonly back: readonly string[]; readonly readdressed: boolean } {
    const lost: string[] = [];
    const back: string[] = [];
    let readdressed = false;
    for (const watched of this.#watched) {
      const index = watched.name === 'any' ? 0 : interfaceIndex(watched.name);
      if (index !== watched.index) {
        if (watched.index !== 0) lost.push(watched.name);
        watched.index = 0;
        if (index !== 0 && this.#rebind(watched)) {
          watched.index = index;
          back.push(watched.name);
        }
      }
      const addresses = addressesOf(watched.name, this.#input.ipv6);
      if (JSON.stringify(addresses) === JSON.stringify(watched.addresses)) continue;
      watched.addresses = addresses;
      readdressed = true;
      this.#attach(watched);
    }
    return { lost, back, readdressed };
  }

  close(): void {
    for (const watched of this.#watched.splice(0)) close(watched.fd);
  }

  #open(name: string): Watched {
    const addresses = addressesOf(name, this.#input.ipv6);
    const filter = this.#program(addresses);
    let fd: number | undefined;
    try {
      fd = openPacketSocket(filter);
      bindToInterface(fd, name);
    } catch (error) {
      if (fd !== undefined) close(fd);
      throw error instanceof SystemError ? new CaptureError(describe(name, error)) : error;
    }
    const index = name === 'any' ? 0 : interfaceIndex(name);
    return { name, fd, index, addresses, filter: filter.toString() };
  }

  #attach(watched: Watched): void {
    const filter = this.#program(watched.addresses);
    const text = filter.toString();
    if (text === watched.filter) return;
    attachFilter(watched.fd, filter);
    watched.filter = text;
  }

  #program(addresses: readonly Address[]): Uint8Array {
    const { doors, publicPorts, ipv6 } = this.#input;
    return encodeProgram(buildCaptureFilter({ doors, addresses, publicPorts: { tcp: publicPorts }, ipv6 }));
  }

  #rebind(watched: Watched): boolean {
    try {
      bindToInterface(watched.fd, watched.name);
      return true;
    } catch {
      // Not up yet: the next change of the link calls again.
      return false;
    }
  }
}

/** Capturing on an interface is impossible, in knockd's (libpcap's) words. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
}

function describe(name: string, error: SystemError): string {
  switch (error.code) {
    case 'ENODEV':
      return `could not open ${name}: ${name}: No such device exists (No such device exists)`;
    case 'ENETDOWN':
      return `could not open ${name}: ${name}: That device is not up`;
    case 'EPERM':
    case 'EACCES':
      return `could not open ${name}: ${name}: You don't have permission to perform this capture on that device (socket: Operation not permitted)`;
    default:
      return `could not open ${name}: ${name}: ${error.message}`;
  }
}
