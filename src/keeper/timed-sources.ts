/**
 * Sources that are banned until a time, or allowed: one of these for each kind. The kernel holds them, with a time of their own where it
 * can; the state remembers why, and brings them back when the kernel has lost them (a flush, a reboot).
 *
 * - A row is on disk before the firewall is told; what the firewall refuses is taken back.
 * - The timers beside the kernel's are for the record, and for firewalls that end nothing by themselves.
 * - What lasts longer than the kernel can count is put in anew in the half of that time; of it the state is right, and not the kernel.
 * - IPv6 sources are kept by their network. What is done to one source is done one after another.
 */

import { type Address, family, parseAddress, printAddress } from '../core/address.ts';
import type { HistoryEvent, Via } from '../core/history.ts';
import { blockOf } from '../core/policy.ts';
import type { TimedSource } from '../firewall/driver.ts';
import { timeLeft } from '../store/due.ts';
import type { SourceRow, SourceRows } from '../store/rows.ts';
import { Turns } from './turns.ts';

export interface TimedSourcesPorts {
  readonly rows: SourceRows;
  /** The firewall's part. */
  readonly put: (source: TimedSource) => Promise<void>;
  readonly take: (source: Address) => Promise<void>;
  /** Milliseconds that the firewall can keep one by itself; what lasts longer is put in again and again. */
  readonly longest?: number;
  /** The events of a beginning and of an end. */
  readonly words: { readonly began: 'banned' | 'allowed'; readonly ended: 'unbanned' | 'disallowed' };
  readonly record: (event: HistoryEvent) => void;
  readonly ipv6Prefix: () => number;
  readonly monotonicNow: () => number;
  readonly wallNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

/** Why, and who wants it. */
export interface Cause {
  readonly via: Via;
  readonly user?: string;
  readonly reason: string;
}

export interface LiveSource extends Cause {
  readonly source: Address;
  /** Monotonic milliseconds. */
  readonly until: number;
}

interface Held extends LiveSource {
  /** The kernel ends it earlier than we do. */
  readonly cut: boolean;
  readonly cancel: () => void;
}

/** After a firewall that does not end them by itself has refused to. */
const AGAIN = 5000;

export class TimedSources {
  readonly #ports: TimedSourcesPorts;
  readonly #held = new Map<string, Held>();
  readonly #turns = new Turns();

  constructor(ports: TimedSourcesPorts) {
    this.#ports = ports;
  }

  get size(): number {
    return this.#held.size;
  }

  /** In the order of their beginning. */
  live(): readonly LiveSource[] {
    return [...this.#held.values()];
  }

  get(source: Address): LiveSource | undefined {
    return this.#held.get(printAddress(this.#place(source)));
  }

  /** Begins, or begins anew. Rejects when the firewall refuses; then all is as before. */
  put(source: Address, remaining: number, cause: Cause): Promise<LiveSource> {
    const place = this.#place(source);
    const { rows, record, words, wallNow } = this.#ports;
    return this.#turns.run(printAddress(place), async () => {
      const key = { source: printAddress(place) };
      const earlier = rows.get(key);
      rows.put({ ...key, ...cause, until: wallNow() + remaining, longest: remaining });
      try {
        await this.#give(place, remaining);
      } catch (error) {
        if (earlier) rows.put(earlier);
        else rows.end(key);
        throw error;
      }
      record({ type: words.began, ...key, ...told(cause), detail: `for ${Math.ceil(remaining / 1000)} s` });
      return this.#hold(place, remaining, cause);
    });
  }

  /** Ends it; false when we know of none. The firewall is told in any case. */
  end(source: Address, reason: string, user?: string): Promise<boolean> {
    const place = this.#place(source);
    return this.#turns.run(printAddress(place), async () => {
      await this.#ports.take(place);
      return this.#forget(place, { reason, ...(user !== undefined && { user }) });
    });
  }

  /**
   * Compares state and kernel at start; the kernel is right about what stands, and until when. What is kept is written anew: a clock that was set
   * back is not to give it its whole time again with every start. `stood`: the kernel has lost nothing, so what it does not have was over.
   */
  async reconcile(standing: readonly TimedSource[], stood = false): Promise<void> {
    const { rows, wallNow } = this.#ports;
    const there = new Map(standing.map((each) => [printAddress(each.source), each]));
    for (const row of rows.all()) {
      const source = parseAddress(row.source);
      const held = there.get(row.source);
      const left = timeLeft(row.until, row.longest, wallNow());
      there.delete(row.source);
      // The kernel may have ended it before its time, and we were not there to put it in again.
      const cut = row.longest > this.#longest;
      if (source && left > 0 && cut) {
        await this.#give(source, left);
        this.#keep(source, left, row);
      } else if (source && held && left > 0) this.#keep(source, Math.min(left, held.remaining), row);
      else if (source && held) {
        // Nobody was there to end it.
        this.#hold(source, 0, row);
        await this.#expire(source);
      } else if (source && left > 0 && !stood) {
        await this.#give(source, left);
        this.#keep(source, left, row);
      } else rows.end(row);
    }
    for (const { source, remaining } of there.values()) {
      this.#keep(source, remaining, { via: 'adopted', reason: '' });
    }
  }

  /** Ends those of IPv6: another length of networks is to come. */
  async endNetworks(reason: string): Promise<void> {
    for (const { source } of this.live()) if (family(source) === 6) await this.end(source, reason);
  }

  /** Puts back into the kernel what somebody else took out of it. */
  async restore(): Promise<void> {
    const { monotonicNow } = this.#ports;
    for (const { source, until } of this.live()) {
      const remaining = until - monotonicNow();
      if (remaining > 0) await this.#give(source, remaining);
    }
  }

  /** Stops the timers. */
  release(): void {
    for (const { cancel } of this.#held.values()) cancel();
  }

  #keep(source: Address, remaining: number, { via, user, reason }: Cause): void {
    const cause = { via, ...(user !== undefined && { user }), reason };
    if (Number.isFinite(remaining)) {
      const row: SourceRow = {
        source: printAddress(source),
        ...cause,
        until: this.#ports.wallNow() + remaining,
        longest: remaining,
      };
      this.#ports.rows.put(row);
    }
    this.#hold(source, remaining, cause);
  }

  #hold(source: Address, remaining: number, { via, user, reason }: Cause, again?: number): LiveSource {
    const { monotonicNow, after } = this.#ports;
    const key = printAddress(source);
    const cut = remaining > this.#longest;
    const wait = again ?? (cut ? this.#longest / 2 : remaining);
    this.#held.get(key)?.cancel();
    const held: Held = {
      source,
      via,
      ...(user !== undefined && { user }),
      reason,
      until: monotonicNow() + remaining,
      cut,
      cancel: Number.isFinite(remaining) ? after(wait, () => void this.#expire(source)) : () => {},
    };
    this.#held.set(key, held);
    return held;
  }

  /** To the firewall, for as long as it can count. */
  #give(source: Address, remaining: number): Promise<void> {
    return this.#ports.put({ source, remaining: Math.min(remaining, this.#longest) });
  }

  get #longest(): number {
    return this.#ports.longest ?? Number.POSITIVE_INFINITY;
  }

  #expire(source: Address): Promise<void> {
    return this.#turns.run(printAddress(source), async () => {
      const held = this.#held.get(printAddress(source));
      if (!held) return;
      const left = held.until - this.#ports.monotonicNow();
      try {
        if (left > 0) {
          if (held.cut) await this.#give(source, left);
          this.#hold(source, left, held);
        } else {
          await this.#ports.take(source);
          this.#forget(source, { reason: 'time' });
        }
      } catch (error) {
        this.#ports.record({ type: 'warned', source: printAddress(source), detail: (error as Error).message });
        this.#hold(source, Math.max(left, AGAIN), held, AGAIN);
      }
    });
  }

  #forget(source: Address, why: { readonly reason: string; readonly user?: string }): boolean {
    const key = printAddress(source);
    const held = this.#held.get(key);
    if (!held) return false;
    held.cancel();
    this.#held.delete(key);
    this.#ports.rows.end({ source: key });
    this.#ports.record({ type: this.#ports.words.ended, source: key, ...why });
    return true;
  }

  /** What the firewall keeps a source by. */
  #place(source: Address): Address {
    return blockOf(source, this.#ports.ipv6Prefix()).address;
  }
}

function told({ via, user, reason }: Cause): Pick<HistoryEvent, 'via' | 'user' | 'reason'> {
  return { via, ...(user !== undefined && { user }), ...(reason !== '' && { reason }) };
}
