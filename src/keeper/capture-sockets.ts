/**
 * The packet sockets of the interfaces that are watched, with their filters: opened before anything else, kept until the end.
 *
 * The filter follows the doors, the addresses and the public ports; it is replaced on the live socket in one step. An interface
 * that disappears and comes back has a new number: its socket is bound again, ring and watcher stay as they are.
 */

import type { Address } from '../core/address.ts';
import { BPF_MAX_INSTRUCTIONS, encodeProgram } from '../core/bpf.ts';
import { fitCaptureFilter, type Relaxation } from '../core/capture-filter.ts';
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

/** Fits the smallest optmem_max a kernel has had by default. */
const SHORT_FILTER = 700;

/** `ret 0`: what a socket has until its doors are known. */
const REJECT_ALL = [{ code: 0x06, jt: 0, jf: 0, k: 0 }] as const;

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
  readonly #relaxed: (given: readonly Relaxation[]) => void;
  #input: FilterInput;
  #limit = BPF_MAX_INSTRUCTIONS;
  #given = '';

  /**
   * Opens and binds them all, or throws a `CaptureError` in knockd's words and opens none. `relaxed` hears what a filter that
   * became too long for the kernel lets through beyond what it should.
   */
  constructor(names: readonly string[], input: FilterInput, relaxed: (given: readonly Relaxation[]) => void) {
    this.#input = input;
    this.#relaxed = relaxed;
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
    let fd: number | undefined;
    try {
      fd = openPacketSocket(encodeProgram(REJECT_ALL));
      const index = name === 'any' ? 0 : interfaceIndex(name);
      const watched = { name, fd, index, addresses, filter: '' };
      this.#attach(watched);
      bindToInterface(fd, name);
      return watched;
    } catch (error) {
      if (fd !== undefined) close(fd);
      throw error instanceof SystemError ? new CaptureError(describe(name, error)) : error;
    }
  }

  /** A kernel that allows a socket little memory (net.core.optmem_max) refuses long filters: then a shorter one is made. */
  #attach(watched: Watched): void {
    const filter = this.#program(watched.addresses);
    const text = filter.toString();
    if (text === watched.filter) return;
    try {
      attachFilter(watched.fd, filter);
      watched.filter = text;
    } catch (error) {
      if (!(error instanceof SystemError) || error.code !== 'ENOMEM' || this.#limit === SHORT_FILTER) throw error;
      this.#limit = SHORT_FILTER;
      this.#attach(watched);
    }
  }

  #program(addresses: readonly Address[]): Uint8Array {
    const { doors, publicPorts, ipv6 } = this.#input;
    const input = { doors, addresses, publicPorts: { tcp: publicPorts }, ipv6, limit: this.#limit };
    const { program, relaxed } = fitCaptureFilter(input);
    if (relaxed.join() !== this.#given) {
      this.#given = relaxed.join();
      if (relaxed.length > 0) this.#relaxed(relaxed);
    }
    return encodeProgram(program);
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
