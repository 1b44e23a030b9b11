/**
 * A firewall in a test's mind: what it is told to hold, to its time by a clock that is a variable. It can refuse to open, keep its answers back, lose
 * everything, and outlive whoever talks to it.
 */

import { type Address, printAddress } from '../../src/core/address.ts';
import {
  type FirewallDriver,
  FirewallError,
  type Grant,
  type Guard,
  type Standing,
  type TimedSource,
} from '../../src/firewall/driver.ts';
import type { ManualClock } from './manual-clock.ts';

interface Element {
  readonly source: Address;
  /** Monotonic milliseconds. */
  readonly until: number;
}

export class PretendedFirewall implements FirewallDriver {
  readonly name = 'pretended';
  readonly expires: boolean;
  readonly grants = new Map<string, Element & { readonly door: string; readonly comment: string }>();
  readonly bans = new Map<string, Element>();
  readonly allowed = new Map<string, Element>();
  /** Openings are refused. */
  refusing = false;
  /** Answers wait until `answer` is called. */
  holding = false;
  #waiting: (() => void)[] = [];
  /** Of the guard that stands. */
  #doors: ReadonlySet<string> | undefined;
  readonly #clock: ManualClock;

  constructor(clock: ManualClock, expires: boolean) {
    this.#clock = clock;
    this.expires = expires;
  }

  /** What one daemon talks to: once it is dead it asks for nothing and hears nothing. */
  connection(alive: () => boolean): PretendedFirewall {
    return new Proxy(this, {
      get: (firewall, name) => {
        const value: unknown = Reflect.get(firewall, name, firewall);
        if (typeof value !== 'function') return value;
        return (...given: readonly unknown[]) =>
          new Promise((resolve, reject) => {
            if (!alive()) return;
            const answer: Promise<unknown> = value.apply(firewall, given);
            answer.then(
              (result) => alive() && resolve(result),
              (error) => alive() && reject(error),
            );
          });
      },
    });
  }

  /** Carries out the eldest of what waits; false when nothing does. */
  answer(): boolean {
    const next = this.#waiting.shift();
    next?.();
    return next !== undefined;
  }

  /** Whoever asked is dead: what waits is carried out, or never was asked; nobody hears an answer. */
  abandon(carriedOut: boolean): void {
    if (carriedOut) while (this.answer());
    this.#waiting = [];
  }

  /** Somebody else empties it, or the machine was off. */
  flush(): void {
    for (const elements of [this.grants, this.bans, this.allowed]) elements.clear();
    this.#doors = undefined;
  }

  get now(): number {
    return this.#clock.monotonicNow();
  }

  /** The doors that are open: milliseconds left by `DOOR SOURCE`. */
  openings(): ReadonlyMap<string, number> {
    this.#expire();
    const now = this.#clock.monotonicNow();
    return new Map([...this.grants].map(([key, { until }]) => [key, until - now]));
  }

  install({ doors }: Guard): Promise<boolean> {
    return this.#do(() => {
      const names = new Set(doors.map(({ name }) => name));
      for (const [key, { door }] of this.grants) if (!names.has(door)) this.grants.delete(key);
      const stood = this.#doors !== undefined;
      this.#doors = names;
      return stood;
    });
  }

  open({ door, source, remaining, comment }: Grant): Promise<void> {
    return this.#do(() => {
      if (this.refusing) throw new FirewallError('the firewall is moody');
      if (!this.#doors?.has(door)) throw new FirewallError(`there is no set for ${door}`);
      this.grants.set(`${door} ${printAddress(source)}`, { door, ...this.#element({ source, remaining }), comment });
    });
  }

  close(door: string, source: Address): Promise<void> {
    return this.#do(() => void this.grants.delete(`${door} ${printAddress(source)}`));
  }

  ban(ban: TimedSource): Promise<void> {
    return this.#do(() => void this.bans.set(printAddress(ban.source), this.#element(ban)));
  }

  unban(source: Address): Promise<void> {
    return this.#do(() => void this.bans.delete(printAddress(source)));
  }

  allow(allowed: TimedSource): Promise<void> {
    return this.#do(() => void this.allowed.set(printAddress(allowed.source), this.#element(allowed)));
  }

  disallow(source: Address): Promise<void> {
    return this.#do(() => void this.allowed.delete(printAddress(source)));
  }

  list(): Promise<Standing> {
    return this.#do(() => {
      this.#expire();
      const now = this.#clock.monotonicNow();
      const timed = ({ source, until }: Element): TimedSource => ({
        source,
        remaining: this.expires ? until - now : Number.POSITIVE_INFINITY,
      });
      return {
        grants: [...this.grants.values()].map((grant) => ({
          ...timed(grant),
          door: grant.door,
          comment: grant.comment,
        })),
        bans: [...this.bans.values()].map(timed),
        allowed: [...this.allowed.values()].map(timed),
      };
    });
  }

  /** A look at the kernel that takes as long as everything else. */
  look<T>(answer: T): Promise<T> {
    return this.#do(() => answer);
  }

  async remove(): Promise<void> {
    this.flush();
  }
  watch = () => ({ close: () => {} });
  async stop(): Promise<void> {}

  #element({ source, remaining }: TimedSource): Element {
    return { source, until: this.#clock.monotonicNow() + remaining };
  }

  #expire(): void {
    if (!this.expires) return;
    for (const elements of [this.grants, this.bans, this.allowed]) {
      for (const [key, { until }] of elements) if (until <= this.#clock.monotonicNow()) elements.delete(key);
    }
  }

  #do<T>(act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const carryOut = (): void => {
        try {
          resolve(act());
        } catch (error) {
          reject(error);
        }
      };
      if (this.holding) this.#waiting.push(carryOut);
      else carryOut();
    });
  }
}
