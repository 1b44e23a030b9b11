/**
 * The driver of firewalls that keep doors, bans and leaves in tables of addresses, fed by the daemon, which also ends what it has opened
 * (`expires` is false): pf and ipfw. What they say to it is theirs (`TableFirewall`); what is asked in which order, and what is told of a
 * refusal, is here.
 *
 * What it promises less than the contract: when the daemon is killed, a door that is open stays so until the next start, which closes
 * what is overdue at once; closed ports can not be mirrored; whoever had a session before the guard may send (not begin) at `cut` doors.
 */

import { type Address, printAddress } from '../core/address.ts';
import { type DoorPolicy, type Prefix, printPrefix } from '../core/policy.ts';
import {
  type FirewallDriver,
  FirewallError,
  type Grant,
  type Guard,
  type Standing,
  type TimedSource,
} from './driver.ts';
import { GuardWatches } from './guard-watch.ts';
import { blockIn, checkDoor } from './guarded.ts';
import { Lane } from './lane.ts';
import { dropSessions, netstatSessions } from './netstat.ts';
import { checkGuard } from './nft-rules.ts';
import { refusal } from './tool.ts';

/** What is said to one kind of firewall. Blocks are as `printPrefix` prints them. Everything throws what the firewall complains of. */
export interface TableFirewall {
  readonly name: string;
  /** The table of bans, of who is allowed, of who had a session before the guard; of each door. */
  readonly bans: string;
  readonly allowed: string;
  readonly live: string;
  readonly doorTable: (door: string) => string;
  /** The guard as the firewall reads it. Throws where it cannot be put in force. */
  rules(guard: Guard): Promise<string>;
  load(rules: string): Promise<void>;
  /** The tables of ours that stand. */
  tables(): Promise<readonly string[]>;
  destroy(tables: readonly string[]): Promise<void>;
  /** Puts these into `live`, before there are rules. */
  seed(blocks: readonly string[]): Promise<void>;
  add(table: string, block: string, remaining: number): Promise<void>;
  /** What is not there is out already. */
  delete(table: string, block: string): Promise<void>;
  /** Ends what the firewall itself remembers of sessions: with these ports, or all. */
  readonly forget?: (source: Prefix, protect?: DoorPolicy['protect']) => Promise<void>;
  list(guard: Guard | undefined): Promise<Standing>;
  remove(): Promise<void>;
  /** What is in force, to be compared; undefined when it is not. */
  state(): Promise<string | undefined>;
}

export interface TableOptions {
  readonly warn?: (message: string) => void;
  /** The folder of the firewall's program, `netstat` and `tcpdrop` with a slash behind; found by PATH unless said. */
  readonly folder?: string;
}

export function openTables(firewall: TableFirewall, options: TableOptions): FirewallDriver {
  return new TablesDriver(firewall, options);
}

class TablesDriver implements FirewallDriver {
  readonly name: string;
  readonly expires = false;
  readonly #firewall: TableFirewall;
  readonly #warn: (message: string) => void;
  readonly #folder: string;
  readonly #lane = new Lane();
  readonly #watches: GuardWatches;
  #guard: Guard | undefined;
  #standing: string | undefined;

  constructor(firewall: TableFirewall, { warn = () => {}, folder = '' }: TableOptions) {
    this.name = firewall.name;
    this.#firewall = firewall;
    this.#warn = warn;
    this.#folder = folder;
    this.#watches = new GuardWatches({ stands: () => this.#stands(), warn });
  }

  install(guard: Guard): Promise<boolean> {
    const { rules, tables, load, destroy, state, live, bans, allowed, doorTable } = this.#firewall;
    return this.#lane.run(async () => {
      try {
        checkGuard(guard);
        const text = await rules(guard);
        const before = await tables();
        // Before the rules: who has a session keeps it.
        if (!before.includes(live)) await this.#seed(guard);
        await load(text);
        this.#guard = guard;
        const wanted = new Set([bans, live, allowed, ...guard.doors.map(({ name }) => doorTable(name))]);
        const gone = before.filter((table) => !wanted.has(table));
        if (gone.length > 0) await destroy(gone);
        this.#standing = await state();
        if (this.#standing === undefined) throw new FirewallError('its rules are not in force');
        this.#watches.soon();
        return before.includes(live);
      } catch (error) {
        throw refusal('Cannot install the guard', error);
      }
    });
  }

  open({ door, source, remaining }: Grant): Promise<void> {
    const what = `open door "${door}" for ${printAddress(source)}`;
    return this.#lane.run(() => {
      checkDoor(this.#guard, door, what);
      return this.#putIn(this.#firewall.doorTable(door), source, remaining, what);
    });
  }

  async close(door: string, source: Address): Promise<void> {
    const { doorTable, live, forget } = this.#firewall;
    const policy = this.#guard?.doors.find(({ name }) => name === door);
    const what = `close door "${door}" for ${printAddress(source)}`;
    await this.#lane.run(async () => {
      await this.#takeOut(doorTable(door), source, what);
      if (policy === undefined || policy.close === 'keep') return;
      await this.#takeOut(live, source, what);
      try {
        await forget?.(this.#block(source), policy.protect);
      } catch (error) {
        throw refusal(`Cannot end the sessions of ${printAddress(source)} at door "${door}"`, error);
      }
    });
    if (policy?.close !== 'kill') return;
    const failure = await dropSessions(this.#folder, this.#block(source), policy.protect);
    if (failure !== undefined) {
      this.#warn(`Sessions of ${printAddress(source)} at door "${door}" hang instead of being reset: ${failure}`);
    }
  }

  ban({ source, remaining }: TimedSource): Promise<void> {
    const what = `ban ${printAddress(source)}`;
    return this.#lane.run(async () => {
      await this.#putIn(this.#firewall.bans, source, remaining, what);
      try {
        await this.#firewall.forget?.(this.#block(source));
      } catch (error) {
        throw refusal(`Cannot ${what}`, error);
      }
    });
  }

  unban(source: Address): Promise<void> {
    const what = `end the ban of ${printAddress(source)}`;
    return this.#lane.run(() => this.#takeOut(this.#firewall.bans, source, what));
  }

  allow({ source, remaining }: TimedSource): Promise<void> {
    const what = `allow ${printAddress(source)}`;
    return this.#lane.run(() => this.#putIn(this.#firewall.allowed, source, remaining, what));
  }

  disallow(source: Address): Promise<void> {
    const what = `no longer allow ${printAddress(source)}`;
    return this.#lane.run(() => this.#takeOut(this.#firewall.allowed, source, what));
  }

  async list(): Promise<Standing> {
    await this.#lane.settled();
    try {
      return await this.#firewall.list(this.#guard);
    } catch (error) {
      throw refusal('Cannot list the grants', error);
    }
  }

  remove(): Promise<void> {
    return this.#lane.run(async () => {
      this.#standing = undefined;
      try {
        await this.#firewall.remove();
      } catch (error) {
        throw refusal('Cannot remove the guard', error);
      }
    });
  }

  watch(lost: () => void): { close(): void } {
    return this.#watches.begin(lost);
  }

  async stop(): Promise<void> {
    this.#watches.close();
    await this.#lane.settled();
  }

  #stands(): Promise<boolean> {
    return this.#lane.run(async () => {
      if (this.#standing === undefined || (await this.#firewall.state()) === this.#standing) return true;
      this.#standing = undefined;
      return false;
    });
  }

  /** The sources of sessions on ports that are guarded now. */
  async #seed(guard: Guard): Promise<void> {
    const cut = guard.doors.filter(({ close }) => close !== 'keep').flatMap(({ protect }) => protect);
    if (cut.length === 0) return;
    const sessions = await netstatSessions(this.#folder);
    const mine = sessions.filter(({ port }) =>
      cut.some(({ protocol, first, last }) => protocol === 'tcp' && first <= port && port <= last),
    );
    await this.#firewall.seed([...new Set(mine.map(({ source }) => printPrefix(blockIn(guard, source))))]);
  }

  async #putIn(table: string, source: Address, remaining: number, what: string): Promise<void> {
    if (!(remaining > 0)) throw new FirewallError(`Cannot ${what}: no time is left`);
    try {
      await this.#firewall.add(table, printPrefix(this.#block(source)), remaining);
    } catch (error) {
      throw refusal(`Cannot ${what}`, error);
    }
  }

  async #takeOut(table: string, source: Address, what: string): Promise<void> {
    try {
      await this.#firewall.delete(table, printPrefix(this.#block(source)));
    } catch (error) {
      throw refusal(`Cannot ${what}`, error);
    }
  }

  #block(source: Address): Prefix {
    return blockIn(this.#guard, source);
  }
}
