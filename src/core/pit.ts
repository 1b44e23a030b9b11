/**
 * Who is held in the tarpit, and when each of them gets the next line. RFC 4253 section 4.2 has a client wait through
 * any lines that come before the one that begins with "SSH-" (the idea of endlessh).
 *
 * - Bounded: so many connections in all, so many of one source. When all places are taken nobody is asked in any more; who is
 *   one too many of his source is turned away.
 * - Of each connection there are a few numbers, and one deadline; nothing is read, and nothing waits to be sent. All pauses are of the same
 *   length, so that the order of insertion is the order of deadlines: whoever got a line goes to the end.
 */

import { type Address, printAddress } from './address.ts';
import { blockOf } from './policy.ts';

export interface PitLimits {
  readonly connections: number;
  readonly perSource: number;
  /** Milliseconds between two lines of a connection. */
  readonly every: number;
  /** Milliseconds that a connection is held at most. */
  readonly duration: number;
  /** IPv6 sources count by their network of this many bits. */
  readonly ipv6Prefix: number;
}

export interface PitCounts {
  readonly held: number;
  /** Since the beginning. */
  readonly total: number;
  readonly turnedAway: number;
}

interface Held {
  readonly source: string;
  /** When its time is over. */
  readonly until: number;
  due: number;
}

/** What is to be done now with a connection, by its descriptor. */
export interface Due {
  readonly descriptor: number;
  /** Its time is over: it is forgotten, and to be closed. */
  readonly over: boolean;
}

export class Pit {
  readonly #limits: PitLimits;
  readonly #held = new Map<number, Held>();
  readonly #sources = new Map<string, number>();
  #total = 0;
  #turnedAway = 0;

  constructor(limits: PitLimits) {
    this.#limits = limits;
  }

  get full(): boolean {
    return this.#held.size >= this.#limits.connections;
  }

  get counts(): PitCounts {
    return { held: this.#held.size, total: this.#total, turnedAway: this.#turnedAway };
  }

  /** Holds a connection; false when it is to be closed instead. */
  take(descriptor: number, from: Address, now: number): boolean {
    const source = this.#key(from);
    const mine = this.#sources.get(source) ?? 0;
    if (this.full || mine >= this.#limits.perSource) {
      this.#turnedAway++;
      return false;
    }
    this.#sources.set(source, mine + 1);
    this.#held.set(descriptor, { source, until: now + this.#limits.duration, due: now + this.#limits.every });
    this.#total++;
    return true;
  }

  /** Those whose turn has come. Each that is not over counts as having got its line. */
  due(now: number): readonly Due[] {
    const found: Due[] = [];
    for (const [descriptor, held] of this.#held) {
      if (held.due > now) break;
      // Not even until the next line.
      const over = now + this.#limits.every > held.until;
      found.push({ descriptor, over });
      this.#held.delete(descriptor);
      if (over) this.#leave(held);
      else {
        held.due = now + this.#limits.every;
        this.#held.set(descriptor, held);
      }
    }
    return found;
  }

  /** A connection has ended. */
  forget(descriptor: number): void {
    const held = this.#held.get(descriptor);
    if (held === undefined) return;
    this.#held.delete(descriptor);
    this.#leave(held);
  }

  /** When somebody's turn comes next; undefined when nobody is here. */
  nextDeadline(): number | undefined {
    for (const { due } of this.#held.values()) return due;
    return undefined;
  }

  #leave({ source }: Held): void {
    const left = (this.#sources.get(source) ?? 1) - 1;
    if (left === 0) this.#sources.delete(source);
    else this.#sources.set(source, left);
  }

  #key(source: Address): string {
    return printAddress(blockOf(source, this.#limits.ipv6Prefix).address);
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';
const SHORTEST = 3;
const LONGEST = 32;

/** A line of junk with its CR LF, never one that begins with "SSH-". `random` is from 0 up to 1. */
export function junkLine(random: () => number): Uint8Array {
  const length = SHORTEST + Math.floor(random() * (LONGEST - SHORTEST + 1));
  const line = new Uint8Array(length + 2);
  for (let at = 0; at < length; at++) line[at] = LETTERS.charCodeAt(Math.floor(random() * LETTERS.length));
  line[length] = 0x0d;
  line[length + 1] = 0x0a;
  return line;
}
