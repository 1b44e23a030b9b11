/**
 * Grants of doors that the kernel closes: opened, renewed, ended, and brought back after a restart.
 *
 * - A grant is on disk before the door opens, and it opens only for who may (`sources`), while there is room (`limit`). What the
 *   firewall refuses is taken back: nothing is half open, and it is told.
 * - Time is the kernel's where it can keep it. Ours is a timer on the monotonic clock beside it, for what else happens at the end: the
 *   record, the hooks, the sessions, and the closing itself where the kernel cannot.
 * - What is done to one door for one source is done one after another; different ones do not wait for each other.
 * - At start the kernel is right about what stands there, and until when: what it holds is adopted, what the state still has and the
 *   kernel has lost with its guard (a flush, a reboot with the time not over) is opened again for the rest of its time. What ended
 *   meanwhile is ended here too, with hooks and sessions.
 */

import { type Address, family, parseAddress, printAddress, sameAddress } from '../core/address.ts';
import type { HistoryEvent, Via } from '../core/history.ts';
import { admits, blockOf, type DoorPolicy } from '../core/policy.ts';
import type { FirewallDriver, Grant } from '../firewall/driver.ts';
import { timeLeft } from '../store/due.ts';
import type { GrantRow, GrantRows } from '../store/rows.ts';
import { standsForItsLink } from './asked-source.ts';
import type { DueCloses } from './due-closes.ts';
import { Turns } from './turns.ts';

export interface LiveGrant {
  readonly door: string;
  readonly source: Address;
  /** Who opened it, where `source` is the network around him, and it is known. */
  readonly knocker?: Address;
  readonly via: Via;
  readonly user?: string;
  /** Monotonic milliseconds. */
  readonly until: number;
}

export interface GrantPorts {
  readonly driver: FirewallDriver;
  readonly rows: GrantRows;
  /** What we have to close, where the kernel does not: needed unless the driver `expires`. */
  readonly closes?: DueCloses;
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
  | {
      readonly denied: 'source' | 'link' | 'limit' | 'open already' | 'no such door' | 'firewall';
      readonly detail?: string;
    };

/** After a firewall that does not end grants by itself has refused to close one. */
const AGAIN = 5000;

type Whose = Pick<LiveGrant, 'via' | 'user' | 'knocker'>;

interface Held extends LiveGrant {
  readonly cancel: () => void;
}

export class Grants {
  readonly #ports: GrantPorts;
  readonly #ipv6Prefix: () => number;
  readonly #held = new Map<string, Held>();
  readonly #turns = new Turns();
  /** Asked of the firewall and not yet answered: they count for the limit. */
  readonly #opening = new Map<string, string>();
  #doors = new Map<string, DoorPolicy>();

  constructor(ports: GrantPorts, ipv6Prefix: () => number) {
    this.#ports = ports;
    this.#ipv6Prefix = ipv6Prefix;
  }

  /** The doors there are from now on. Grants of doors that are gone end: the driver has taken their sets away. */
  configure(doors: readonly DoorPolicy[]): void {
    const next = new Map(doors.map((door) => [door.name, door]));
    for (const [key, held] of this.#held) {
      if (!next.has(held.door)) this.#forget(key, { type: 'closed', reason: 'the door is gone' });
    }
    this.#doors = next;
  }

  /** What is open, in the order of opening; of one door, or of all. */
  live(door?: string): readonly LiveGrant[] {
    return [...this.#held.values()].filter((held) => door === undefined || held.door === door);
  }

  /** The doors that are open for a source. */
  doorsOf(source: Address): readonly string[] {
    const place = this.placeOf(source);
    return [...this.#doors.keys()].filter((door) => this.#held.has(keyOf(door, place)));
  }

  /** Opens a door for a source, or renews its grant. */
  open(name: string, source: Address, how: { via: Via; user?: string; duration?: number }): Promise<Opening> {
    const place = this.placeOf(source);
    return this.#turns.run(keyOf(name, place), () => this.#open(name, place, source, how));
  }

  /**
   * Ends a grant before its time; false when we know of none. The firewall is told in any case: somebody may have let the source in by
   * hand. Sessions are treated as the door says.
   */
  close(name: string, source: Address, reason: string, user?: string): Promise<boolean> {
    const place = this.placeOf(source);
    const key = keyOf(name, place);
    return this.#turns.run(key, async () => {
      await this.#ports.driver.close(name, place);
      return this.#forget(key, { type: 'closed', reason, ...(user !== undefined && { user }) });
    });
  }

  /** Ends every grant of a door, those too that somebody else has put into the kernel; how many there were. */
  async closeAll(name: string, reason: string, user?: string): Promise<number> {
    const standing = (await this.#ports.driver.list()).grants.filter(({ door }) => door === name);
    const sources = new Map([...standing, ...this.live(name)].map(({ source }) => [printAddress(source), source]));
    await Promise.all([...sources.values()].map((source) => this.close(name, source, reason, user)));
    return sources.size;
  }

  /** Ends those of IPv6: another length of networks is to come. */
  async endNetworks(reason: string): Promise<void> {
    for (const { door, source } of this.live()) if (family(source) === 6) await this.close(door, source, reason);
  }

  /**
   * Compares state and kernel at start, and settles every difference; what stands is recorded as adopted. `stood`: the guard was in force
   * before, so that what it does not have any more was ended, whatever the state (of a disk that was full, perhaps) says.
   */
  async reconcile(stood = false): Promise<void> {
    const { driver, rows, closes, wallNow } = this.#ports;
    await closes?.settle(new Set(this.#doors.keys()));
    const standing = new Map<string, Grant>();
    for (const grant of (await driver.list()).grants) standing.set(keyOf(grant.door, grant.source), grant);
    for (const row of rows.all()) {
      const source = parseAddress(row.source);
      const held = source && standing.get(keyOf(row.door, source));
      const left = timeLeft(row.until, row.longest, wallNow());
      const door = this.#doors.get(row.door);
      if (source && held) {
        standing.delete(keyOf(row.door, source));
        this.#adopt(row, source, driver.expires ? held.remaining : Math.min(left, held.remaining));
      } else if (source && door && left > 0 && !stood) await this.#reopen(row, source, left);
      else await this.#bury(row, source, door);
    }
    for (const { door, source, remaining, comment } of standing.values()) {
      this.#adopt(
        { door, via: 'adopted' },
        source,
        Math.min(remaining, closes?.left(door, source) ?? remaining),
        comment,
      );
    }
  }

  /** Puts back into the kernel what somebody else took out of it. What it refuses now is tried again by whoever calls again. */
  async restore(): Promise<void> {
    const now = this.#ports.monotonicNow;
    await Promise.all(
      [...this.#held.keys()].map((key) =>
        this.#turns.run(key, async () => {
          const held = this.#held.get(key);
          if (held && held.until > now()) await this.#ports.driver.open(toGrant(held, held.until - now()));
        }),
      ),
    );
  }

  /** What the firewall keeps a source by: its address, or its IPv6 network. */
  placeOf(source: Address): Address {
    return blockOf(source, this.#ipv6Prefix()).address;
  }

  /** Stops the timers; grants stand to their time. */
  release(): void {
    for (const held of this.#held.values()) held.cancel();
  }

  /** `knocker` is in the network that `source` stands for: lists of who may are about him. */
  async #open(
    name: string,
    source: Address,
    knocker: Address,
    how: { via: Via; user?: string; duration?: number },
  ): Promise<Opening> {
    const { driver, record } = this.#ports;
    const door = this.#doors.get(name);
    if (!door) return { denied: 'no such door' };
    const key = keyOf(name, source);
    const before = this.#held.get(key);
    const denied = this.#refuse(door, knocker, how.via, before);
    if (denied) {
      if (denied !== 'open already') {
        record({ type: 'denied', door: name, source: printAddress(knocker), reason: denied, via: how.via });
      }
      return { denied };
    }
    const remaining = how.duration ?? door.openFor;
    // A knock never takes away what an administrator gave for longer.
    if (before && how.via !== 'hand' && before.until - this.#ports.monotonicNow() >= remaining)
      return { opened: before };
    const earlier = this.#ports.rows.get({ door: name, source: printAddress(source) });
    // Whoever renews it, it stays his who opened it: the hook that closes undoes what the hook that opened did.
    const first = before ? before.knocker : sameAddress(source, knocker) ? undefined : knocker;
    const whose = { via: how.via, ...userOf(how), ...(first && { knocker: first }) };
    this.#put(name, source, whose, remaining, earlier?.opened);
    const takeBack = this.#ports.closes?.opening(name, source, remaining);
    if (!before) this.#opening.set(key, name);
    try {
      await driver.open(toGrant({ door: name, source, via: how.via, ...userOf(how) }, remaining));
    } catch (error) {
      this.#opening.delete(key);
      takeBack?.();
      // What it was to renew may have ended meanwhile, with its door.
      if (earlier && this.#held.has(key)) this.#ports.rows.put(earlier);
      else this.#ports.rows.end({ door: name, source: printAddress(source) });
      const detail = (error as Error).message;
      record({ type: 'denied', door: name, source: printAddress(source), reason: 'firewall', via: how.via, detail });
      return { denied: 'firewall', detail };
    }
    this.#opening.delete(key);
    const opened = this.#hold({ door: name, source, ...whose }, remaining);
    const type = before ? 'renewed' : 'opened';
    record({
      type,
      door: name,
      source: printAddress(source),
      via: how.via,
      ...userOf(how),
      ...(!sameAddress(source, knocker) && { detail: `from ${printAddress(knocker)}` }),
    });
    if (!before) this.#ports.hook(door, 'open', opened);
    return { opened };
  }

  #refuse(door: DoorPolicy, source: Address, via: Via, before: Held | undefined) {
    // By hand, the administrator decides; the limit and the lists are for strangers.
    if (via === 'hand') return undefined;
    if (!admits(door, source)) return 'source';
    if (standsForItsLink(source, this.#ipv6Prefix())) return 'link';
    if (before) return door.renew ? undefined : 'open already';
    return door.limit !== undefined && this.#taken(door.name) >= door.limit ? 'limit' : undefined;
  }

  #taken(door: string): number {
    const opening = [...this.#opening.values()].filter((name) => name === door);
    return this.live(door).length + opening.length;
  }

  /** Takes over what stands in the kernel; what is known of it comes from the state, else from nobody. */
  #adopt(
    of: Pick<GrantRow, 'door' | 'via' | 'user' | 'knocker'>,
    source: Address,
    remaining: number,
    comment = '',
  ): void {
    const { door, via } = of;
    const about = { door, source: printAddress(source), via, ...userOf(of) };
    this.#ports.record({ type: 'adopted', ...about, ...(comment !== '' && { detail: comment }) });
    const whose = { via, ...userOf(of), ...knockerOf(of) };
    this.#hold({ door, source, ...whose }, remaining);
    // What an administrator added by hand without a time has no row: it is no grant of ours.
    if (Number.isFinite(remaining)) this.#put(door, source, whose, remaining, this.#ports.rows.get(about)?.opened);
  }

  async #reopen(row: GrantRow, source: Address, left: number): Promise<void> {
    const grant = { door: row.door, source, via: row.via, ...userOf(row), ...knockerOf(row) };
    // Written anew: a clock that was set back is not to give it its whole time again with every start.
    this.#put(row.door, source, grant, left, row.opened);
    this.#ports.closes?.opening(row.door, source, left);
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

  /** Ends what was over before we came. */
  async #bury(row: GrantRow, source: Address | undefined, door: DoorPolicy | undefined): Promise<void> {
    const { rows, closes, record, hook, monotonicNow } = this.#ports;
    const about = { door: row.door, source: row.source, via: row.via, ...userOf(row) };
    if (door && source && !(await this.#finish(door, source)))
      return void this.#hold({ ...about, source, ...knockerOf(row) }, AGAIN);
    rows.end(row);
    if (source) closes?.closed(row.door, source);
    record(door ? { ...about, type: 'expired' } : { ...about, type: 'closed', reason: 'the door is gone' });
    if (door && source) hook(door, 'close', { ...about, source, ...knockerOf(row), until: monotonicNow() });
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
    return this.#turns.run(key, async () => {
      const held = this.#held.get(key);
      if (!held) return;
      const left = held.until - this.#ports.monotonicNow();
      if (left > 0) return void this.#hold(held, left); // Renewed while we waited; or the timer was early, which timers are.
      const door = this.#doors.get(held.door);
      if (!door || (await this.#finish(door, held.source))) this.#forget(key, { type: 'expired' });
      else this.#hold(held, AGAIN);
    });
  }

  /**
   * What is left to do when a grant's time is over: the kernel has ended it where it can, sessions are ours to end. False when the door
   * is still open, and that has been said.
   */
  async #finish(door: DoorPolicy, source: Address): Promise<boolean> {
    const { driver, record } = this.#ports;
    if (driver.expires && door.close !== 'kill') return true;
    try {
      await driver.close(door.name, source);
      return true;
    } catch (error) {
      record({ type: 'warned', door: door.name, source: printAddress(source), detail: (error as Error).message });
      return driver.expires;
    }
  }

  /** False when there was nothing to forget. */
  #forget(key: string, how: { type: 'closed' | 'expired'; reason?: string; user?: string }): boolean {
    const held = this.#held.get(key);
    if (!held) return false;
    held.cancel();
    this.#held.delete(key);
    const source = printAddress(held.source);
    this.#ports.rows.end({ door: held.door, source });
    this.#ports.closes?.closed(held.door, held.source);
    // Who closed it, where somebody did; else whose grant it was.
    this.#ports.record({ door: held.door, source, via: held.via, ...userOf(held), ...how });
    const door = this.#doors.get(held.door);
    if (door) this.#ports.hook(door, 'close', held);
    return true;
  }

  #put(door: string, source: Address, whose: Whose, remaining: number, opened?: number): void {
    const now = this.#ports.wallNow();
    this.#ports.rows.put({
      door,
      source: printAddress(source),
      opened: opened ?? now,
      until: now + remaining,
      longest: remaining,
      via: whose.via,
      ...userOf(whose),
      ...(whose.knocker && { knocker: printAddress(whose.knocker) }),
    });
  }
}

function keyOf(door: string, source: Address): string {
  return `${door}\0${printAddress(source)}`;
}

function userOf(grant: { readonly user?: string }): { readonly user?: string } {
  return grant.user === undefined ? {} : { user: grant.user };
}

function knockerOf({ knocker }: Pick<GrantRow, 'knocker'>): { readonly knocker?: Address } {
  const address = knocker === undefined ? undefined : parseAddress(knocker);
  return address === undefined ? {} : { knocker: address };
}

function toGrant(grant: Omit<LiveGrant, 'until'>, remaining: number): Grant {
  const user = grant.user === undefined ? '' : ` user=${grant.user}`;
  return { door: grant.door, source: grant.source, remaining, comment: `postern via=${grant.via}${user}` };
}
