/**
 * The packet sockets of the interfaces that are watched, with their filters: opened before anything else, kept until the end.
 *
 * The filter follows the doors, the addresses and the public ports; it is replaced on the live socket in one step. It only saves
 * work: where the kernel refuses another, the old one stays, and nothing that happens after the start throws. An interface that
 * disappears and comes back has a new number: its socket is bound again, ring and watcher stay as they are.
 */

import type { Address } from '../core/address.ts';
import { BPF_MAX_INSTRUCTIONS, encodeProgram } from '../core/bpf.ts';
import { type CaptureFilter, fitCaptureFilter, type Relaxation, SNAP_LENGTH } from '../core/capture-filter.ts';
import type { Door } from '../core/door.ts';
import type { PortRange } from '../core/policy.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { close, interfaceIndex, SystemError } from '../platform/libc.ts';
import { attachFilter, bindToInterface, openPacketSocket } from '../platform/packet-socket.ts';

/** What decides which packets are let through. */
export interface FilterInput {
  readonly doors: readonly Door[];
  readonly publicPorts: readonly number[];
  /** Undefined: strangers are nobody's matter. */
  readonly watched?: readonly PortRange[] | undefined;
  readonly ipv6: boolean;
}

/** Filters as long as a kernel takes, for the smallest optmem_max one has had by default, and as short as they get. */
const LIMITS = [BPF_MAX_INSTRUCTIONS, 700, 64] as const;

/** `ret 0`: what a socket has until its doors are known. */
const REJECT_ALL = [{ code: 0x06, jt: 0, jf: 0, k: 0 }] as const;
/** What it has between two filters that are too long to exist at once. */
const PASS_ALL = [{ code: 0x06, jt: 0, jf: 0, k: SNAP_LENGTH }] as const;

/** What came of a look at interfaces and addresses. */
export interface Refreshed {
  readonly lost: readonly string[];
  readonly back: readonly string[];
  /** Addresses changed. */
  readonly readdressed: boolean;
  /** Why the old filter or the old addresses stay, in words. */
  readonly failed: string | undefined;
}

interface Watched {
  readonly name: string;
  readonly fd: number;
  /** The interface's number while the socket is bound to it; 0 while it is away. */
  index: number;
  addresses: readonly Address[];
  filter: Uint8Array;
  /** The filter should be another one. */
  stale: boolean;
}

export class CaptureSockets {
  readonly #watched: Watched[] = [];
  readonly #relaxed: (given: readonly Relaxation[]) => void;
  #input: FilterInput;
  /** The first of the limits that the kernel has not refused. */
  #limit = 0;
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

  /** Attaches filters for what counts now; returns why an old one stays, in words. */
  refilter(input: FilterInput): string | undefined {
    this.#input = input;
    return this.#watched.map((watched) => this.#attach(watched)).find((failed) => failed !== undefined);
  }

  /** Looks at interfaces and addresses anew. */
  refresh(): Refreshed {
    let failed: string | undefined;
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
      try {
        const addresses = addressesOf(watched.name, this.#input.ipv6);
        if (JSON.stringify(addresses) !== JSON.stringify(watched.addresses)) {
          watched.addresses = addresses;
          watched.stale = true;
          readdressed = true;
        }
      } catch (error) {
        failed = reasonOf(error);
      }
      if (watched.stale) failed = this.#attach(watched) ?? failed;
    }
    return { lost, back, readdressed, failed };
  }

  close(): void {
    for (const watched of this.#watched.splice(0)) close(watched.fd);
  }

  #open(name: string): Watched {
    const addresses = addressesOf(name, this.#input.ipv6);
    let fd: number | undefined;
    try {
      const filter = encodeProgram(REJECT_ALL);
      fd = openPacketSocket(filter);
      const index = name === 'any' ? 0 : interfaceIndex(name);
      const watched = { name, fd, index, addresses, filter, stale: true };
      const failed = this.#attach(watched);
      if (failed !== undefined) throw new CaptureError(name, failed);
      bindToInterface(fd, name);
      return watched;
    } catch (error) {
      if (fd !== undefined) close(fd);
      throw error instanceof SystemError ? explain(name, error) : error;
    }
  }

  /**
   * A kernel that allows a socket little memory (net.core.optmem_max) refuses long filters: then a shorter one is made. Returns why
   * the old one stays, in words.
   */
  #attach(watched: Watched): string | undefined {
    const before = this.#limit;
    for (;;) {
      const fitted = this.#fit(watched.addresses);
      const filter = encodeProgram(fitted.program);
      try {
        if (!sameBytes(filter, watched.filter)) replaceFilter(watched, filter);
        watched.stale = false;
        this.#tell(fitted.relaxed);
        return undefined;
      } catch (error) {
        if (isTooLong(error) && this.#limit < LIMITS.length - 1) {
          this.#limit++;
          continue;
        }
        this.#limit = before;
        watched.stale = true;
        return reasonOf(error);
      }
    }
  }

  #fit(addresses: readonly Address[]): CaptureFilter {
    const { doors, publicPorts, watched, ipv6 } = this.#input;
    const limit = LIMITS[this.#limit] ?? BPF_MAX_INSTRUCTIONS;
    const strangers = watched === undefined ? {} : { watched };
    return fitCaptureFilter({ doors, addresses, publicPorts: { tcp: publicPorts }, ...strangers, ipv6, limit });
  }

  #tell(relaxed: readonly Relaxation[]): void {
    if (relaxed.join() === this.#given) return;
    this.#given = relaxed.join();
    if (relaxed.length > 0) this.#relaxed(relaxed);
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

/** Puts a filter in the place of the old one, or throws and leaves the old one. */
function replaceFilter(watched: Watched, filter: Uint8Array): void {
  const { fd, filter: old } = watched;
  try {
    attachFilter(fd, filter);
  } catch (error) {
    if (!isTooLong(error)) throw error;
    // The kernel counts the old one until it is gone. Nothing is lost in between: too much passes, not too little.
    watched.filter = encodeProgram(PASS_ALL);
    attachFilter(fd, watched.filter);
    try {
      attachFilter(fd, filter);
    } catch (refused) {
      attachFilter(fd, old);
      watched.filter = old;
      throw refused;
    }
  }
  watched.filter = filter;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isTooLong(error: unknown): boolean {
  return error instanceof SystemError && error.code === 'ENOMEM';
}

function sameBytes(x: Uint8Array, y: Uint8Array): boolean {
  return x.length === y.length && x.every((byte, index) => byte === y[index]);
}

/** Capturing on an interface is impossible: the message is in knockd's (libpcap's) words, `plain` in ours. */
export class CaptureError extends Error {
  override readonly name = 'CaptureError';
  readonly plain: string;

  constructor(device: string, words: string, plain = words) {
    super(`could not open ${device}: ${device}: ${words}`);
    this.plain = `Cannot listen on ${device}: ${plain}`;
  }
}

function explain(name: string, error: SystemError): CaptureError {
  switch (error.code) {
    case 'ENODEV':
      return new CaptureError(name, 'No such device exists (No such device exists)', 'there is no such interface');
    case 'ENETDOWN':
      return new CaptureError(name, 'That device is not up', 'it is not up');
    case 'EPERM':
    case 'EACCES':
      return new CaptureError(
        name,
        "You don't have permission to perform this capture on that device (socket: Operation not permitted)",
        'no permission to capture: run it as root, or give it CAP_NET_RAW',
      );
    default:
      return new CaptureError(name, error.message);
  }
}
