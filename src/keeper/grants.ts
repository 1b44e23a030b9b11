/**
 * Grants of doors that the kernel closes: opened, renewed, ended, and brought back after a restart.
 *
 * - A grant is on disk before the door opens, and it opens only for who may (`sources`), while there is room (`limit`). What the
 *   firewall refuses is taken back: nothing is half open, and it is told.
 * - Time is the kernel's where it can keep it. Ours is a timer on the monotonic clock beside it, for what else happens at the end: the
 *   record, the hooks, the sessions, and the closing itself where the kernel cannot.
 * - What is done to one door for one source is done one after another; different ones do not wait for each other.
 * - At start the kernel is right about what stands there: what it holds is adopted, what the state still has and the kernel has lost
 *   (a flush, a reboot with the time not over) is opened again for the rest of its time.
 */

import { type Address, family, parseAddress, printAddress } from '../core/address.ts';
import type { HistoryEvent, Via } from '../core/history.ts';
import { admits, type DoorPolicy, networkOf } from '../core/policy.ts';
import type { FirewallDriver, Grant } from '../firewall/driver.ts';
import { timeLeft } from '../store/due.ts';
import type { GrantRow, GrantRows } from '../store/rows.ts';

export interface LiveGrant {
  readonly door: string;
  readonly source: Address;
  readonly via: Via;
  readonly user?: string;
  /** Monotonic milliseconds. */
  readonly until: number;
}

export interface GrantPorts {
  readonly driver: FirewallDriver;
  readonly rows: GrantRows;
  readonly record: (event: HistoryEvent) => void;
  /** Runs a hook of the door in its own time; never throws. */
  readonly hook: (door: DoorPolicy, when: 'open' | 'close', grant: LiveGrant) => void;
  readonly monotonicNow: () => number;
  readonly wallNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

/** How an opening ended. */
export type Opening =
  | { readonly opened: LiveGrant }
  | { readonly denied: 'source' | 'limit' | 'open already' | 'no such door' | 'firewall'; readonly detail?: string };

interface Held extends LiveGrant {
  readonly cancel: () => void;
}

export class Grants {
  readonly #ports: GrantPorts;
  readonly #ipv6Prefix: () => number;
  readonly #held = new Map<string, Held>();
  readonly #lanes = new Map<string, Promise<unknown>>();
  #doors = new Map<string, DoorPolicy>();

  constructor(ports: GrantPorts, ipv6Prefix: () => number) {
    this.#ports = ports;
    this.#ipv6Prefix = ipv6Prefix;
  }

  /** The doors there are from now on. Grants of doors that are gone end: the driver has taken their sets away. */
  configure(doors: readonly DoorPolicy[]): void {
    this.#doors = new Map(doors.map((door) => [door.name, door]));
    for (const [key, held] of this.#held) {
      if (!this.#doors.has(held.door)) this.#forget(key, { type: 'closed', reason: 'the door is gone' });
    }
  }

  /** What is open, in the order of opening; of one door, or of all. */
  live(door?: string): readonly LiveGrant[] {
    return [...this.#held.values()].filter((held) => door === undefined || held.door === door);
  }

  /** Opens a door for a source, or renews its grant. */
  open(name: string, source: Address, how: { via: Via; user?: string; duration?: number }): Promise<Opening> {
    const place = this.#place(source);
    return this.#inTurn(keyOf(name, place), () => this.#open(name, place, how));
  }

  /** Ends a grant before its time; false when there is none. Sessions are treated as the door says. */
  close(name: string, source: Address, reason: string): Promise<boolean> {
    const place = this.#place(source);
    const key = keyOf(name, place);
    return this.#inTurn(key, async () => {
      if (!this.#held.has(key)) return false;
      await this.#ports.driver.close(name, place);
      this.#forget(key, { type: 'closed', reason });
      return true;
    });
  }

  /** Compares state and kernel at start; every difference is settled and recorded. */
  async reconcile(): Promise<void> {
    const { driver, rows, record } = this.#ports;
    const standing = new Map<string, Grant>();
    for (const grant of (await driver.list()).grants) standing.set(keyOf(grant.door, grant.source), grant);
    for (const row of rows.all()) {
      const source = parseAddress(row.source);
      const key = source && keyOf(row.door, source);
      const left = timeLeft(row.until, row.longest, this.#ports.wallNow());
      if (!source || key === undefined || !this.#doors.has(row.door) || left <= 0) {
        if (key === undefined || !standing.has(key)) this.#endRow(row, left);
        continue;
      }
      const held = standing.get(key);
      standing.delete(key);
      if (held) this.#hold({ door: row.door, source, via: row.via, ...userOf(row) }, Math.min(left, held.remaining));
      else await this.#reopen(row, source, left);
    }
    for (const grant of standing.values()) {
      const comment = grant.comment === '' ? {} : { detail: grant.comment };
      record({ type: 'adopted', door: grant.door, source: printAddress(grant.source), via: 'adopted', ...comment });
      this.#hold({ door: grant.door, source: grant.source, via: 'adopted' }, grant.remaining);
      if (Number.isFinite(grant.remaining)) this.#put(grant.door, grant.source, { via: 'adopted' }, grant.remaining);
    }
  }

  /** Puts back into the kernel what somebody else took out of it. */
  async restore(): Promise<void> {
    const now = this.#ports.monotonicNow();
    for (const held of this.#held.values()) {
      const remaining = held.until - now;
      if (remaining > 0) await this.#ports.driver.open(toGrant(held, remaining));
    }
  }

  /** Stops the timers; grants stand to their time. */
  release(): void {
    for (const held of this.#held.values()) held.cancel();
  }

  async #open(name: string, source: Address, how: { via: Via; user?: string; duration?: number }): Promise<Opening> {
    const { driver, record } = this.#ports;
    const door = this.#doors.get(name);
    if (!door) return { denied: 'no such door' };
    const key = keyOf(name, source);
    const before = this.#held.get(key);
    const denied = this.#refuse(door, source, how.via, before);
    if (denied) {
      if (denied !== 'open already') {
        record({ type: 'denied', door: name, source: printAddress(source), reason: denied, via: how.via });
      }
      return { denied };
    }
    const remaining = how.duration ?? door.openFor;
    const earlier = this.#ports.rows.get({ door: name, source: printAddress(source) });
    this.#put(name, source, how, remaining, earlier?.opened);
    try {
      await driver.open(toGrant({ door: name, source, via: how.via, ...userOf(how) }, remaining));
    } catch (error) {
      if (earlier) this.#ports.rows.put(earlier);
      else this.#ports.rows.end({ door: name, source: printAddress(source) });
      const detail = (error as Error).message;
      record({ type: 'denied', door: name, source: printAddress(source), reason: 'firewall', via: how.via, detail });
      return { denied: 'firewall', detail };
    }
    const opened = this.#hold({ door: name, source, via: how.via, ...userOf(how) }, remaining);
    const type = before ? 'renewed' : 'opened';
    record({ type, door: name, source: printAddress(source), via: how.via, ...userOf(how) });
    if (!before) this.#ports.hook(door, 'open', opened);
    return { opened };
  }

  #refuse(door: DoorPolicy, source: Address, via: Via, before: Held | undefined) {
    // By hand, the administrator decides; the limit and the lists are for strangers.
    if (via === 'hand') return undefined;
    if (!admits(door, source)) return 'source';
    if (before) return door.renew ? undefined : 'open already';
    return door.limit !== undefined && this.live(door.name).length >= door.limit ? 'limit' : undefined;
  }

  async #reopen(row: GrantRow, source: Address, left: number): Promise<void> {
    const grant = { door: row.door, source, via: row.via, ...userOf(row) };
    try {
      await this.#ports.driver.open(toGrant(grant, left));
    } catch (error) {
      this.#ports.rows.end(row);
      const detail = (error as Error).message;
      this.#ports.record({ type: 'denied', door: row.door, source: row.source, reason: 'firewall', detail });
      return;
    }
    this.#hold(grant, left);
    this.#ports.record({ type: 'adopted', door: row.door, source: row.source, via: row.via, ...userOf(row) });
  }

  /** Remembers the grant and what has to happen at its end. */
  #hold(grant: Omit<LiveGrant, 'until'>, remaining: number): LiveGrant {
    const key = keyOf(grant.door, grant.source);
    this.#held.get(key)?.cancel();
    const held: Held = {
      ...grant,
      until: this.#ports.monotonicNow() + remaining,
      cancel: this.#ports.after(remaining, () => void this.#expire(key)),
    };
    this.#held.set(key, held);
    return held;
  }

  #expire(key: string): Promise<void> {
    return this.#inTurn(key, async () => {
      const held = this.#held.get(key);
      if (!held || held.until > this.#ports.monotonicNow()) return;
      const door = this.#doors.get(held.door);
      // The kernel has ended the grant; sessions are ours to end, and so is everything where it cannot.
      if (!this.#ports.driver.expires || door?.close === 'kill') {
        try {
          await this.#ports.driver.close(held.door, held.source);
        } catch (error) {
          const detail = (error as Error).message;
          this.#ports.record({ type: 'warned', door: held.door, source: printAddress(held.source), detail });
        }
      }
      this.#forget(key, { type: 'expired' });
    });
  }

  #forget(key: string, how: { type: 'closed' | 'expired'; reason?: string }): void {
    const held = this.#held.get(key);
    if (!held) return;
    held.cancel();
    this.#held.delete(key);
    const source = printAddress(held.source);
    this.#ports.rows.end({ door: held.door, source });
    this.#ports.record({ ...how, door: held.door, source, via: held.via, ...userOf(held) });
    const door = this.#doors.get(held.door);
    if (door) this.#ports.hook(door, 'close', held);
  }

  #endRow(row: GrantRow, left: number): void {
    this.#ports.rows.end(row);
    const reason = left <= 0 ? {} : { reason: 'the door is gone' };
    const type = left <= 0 ? 'expired' : 'closed';
    this.#ports.record({ type, door: row.door, source: row.source, via: row.via, ...userOf(row), ...reason });
  }

  #put(door: string, source: Address, how: { via: Via; user?: string }, remaining: number, opened?: number): void {
    const now = this.#ports.wallNow();
    this.#ports.rows.put({
      door,
      source: printAddress(source),
      opened: opened ?? now,
      until: now + remaining,
      longest: remaining,
      via: how.via,
      ...userOf(how),
    });
  }

  /** What the firewall keeps a source by: its address, or its IPv6 network. */
  #place(source: Address): Address {
    return networkOf(source, family(source) === 4 ? 32 : this.#ipv6Prefix());
  }

  #inTurn<T>(key: string, act: () => Promise<T>): Promise<T> {
    const turn = (this.#lanes.get(key) ?? Promise.resolve()).then(act, act);
    const settled = turn
      .catch(() => {})
      .then(() => {
        if (this.#lanes.get(key) === settled) this.#lanes.delete(key);
      });
    this.#lanes.set(key, settled);
    return turn;
  }
}

function keyOf(door: string, source: Address): string {
  return `${door}\0${printAddress(source)}`;
}

function userOf(grant: { readonly user?: string }): { readonly user?: string } {
  return grant.user === undefined ? {} : { user: grant.user };
}

function toGrant(grant: Omit<LiveGrant, 'until'>, remaining: number): Grant {
  const user = grant.user === undefined ? '' : ` user=${grant.user}`;
  return { door: grant.door, source: grant.source, remaining, comment: `postern via=${grant.via}${user}` };
}
