/**
 * The driver for FreeBSD's ipfw: a table for each door, fed by the daemon, which also ends what it has opened (`expires` is false).
 *
 * It was written by the manual and is tested against a stub of `ipfw` that records what it is told; it was never run on FreeBSD.
 * What it promises less than the contract: when the daemon is killed, a door that is open stays so until the next start, which closes what
 * is overdue at once; closed ports can not be mirrored; whoever had a session before the guard may send (not begin) at `cut` doors.
 */

import { type Address, family, printAddress } from '../core/address.ts';
import { networkOf, type Prefix } from '../core/policy.ts';
import { wallNow } from '../platform/clock.ts';
import {
  type FirewallDriver,
  FirewallError,
  type Grant,
  type Guard,
  type Standing,
  type TimedSource,
} from './driver.ts';
import { type GuardWatch, watchGuard } from './guard-watch.ts';
import {
  ALLOWED,
  BANS,
  doorOfTable,
  doorTable,
  entryKey,
  IN_FORCE,
  installCommands,
  isEnabled,
  LIVE,
  parseTables,
  removeCommands,
} from './ipfw-rules.ts';
import { Lane } from './lane.ts';
import { dropSessions, netstatSessions } from './netstat.ts';
import { checkGuard } from './nft-rules.ts';
import { refusal, runTool } from './tool.ts';

export interface IpfwOptions {
  readonly warn?: (message: string) => void;
  /** The folder of `ipfw`, `netstat` and `tcpdrop` with a slash behind; found by PATH unless said. */
  readonly folder?: string;
}

export function openIpfw(options: IpfwOptions = {}): FirewallDriver {
  return new IpfwDriver(options);
}

class IpfwDriver implements FirewallDriver {
  readonly name = 'ipfw';
  readonly expires = false;
  readonly #warn: (message: string) => void;
  readonly #folder: string;
  readonly #lane = new Lane();
  readonly #watches = new Set<GuardWatch>();
  #guard: Guard | undefined;
  #standing: string | undefined;

  constructor({ warn = () => {}, folder = '' }: IpfwOptions) {
    this.#warn = warn;
    this.#folder = folder;
  }

  install(guard: Guard): Promise<boolean> {
    return this.#lane.run(async () => {
      try {
        checkGuard(guard);
        const commands = installCommands(guard);
        const before = parseTables(await this.#ipfw(['table', 'all', 'list'])).tables;
        // Before the rules: who has a session keeps it.
        if (!before.includes(LIVE)) await this.#seed(guard);
        await this.#batch(commands);
        this.#guard = guard;
        const wanted = new Set([BANS, LIVE, ALLOWED, ...guard.doors.map(({ name }) => doorTable(name))]);
        const gone = before.filter((table) => !wanted.has(table));
        if (gone.length > 0) await this.#batch(gone.map((table) => `table ${table} destroy\n`).join(''));
        this.#standing = await this.#state();
        if (this.#standing === undefined) throw new FirewallError('its rules are not in force');
        for (const watch of this.#watches) watch.soon();
        return before.includes(LIVE);
      } catch (error) {
        throw refusal('Cannot install the guard', error);
      }
    });
  }

  open({ door, source, remaining }: Grant): Promise<void> {
    const what = `open door "${door}" for ${printAddress(source)}`;
    return this.#lane.run(() => {
      // ipfw would make a table for it.
      if (!this.#guard?.doors.some(({ name }) => name === door)) {
        throw new FirewallError(`Cannot ${what}: the guard has no such door`);
      }
      return this.#putIn(doorTable(door), source, remaining, what);
    });
  }

  async close(door: string, source: Address): Promise<void> {
    const policy = this.#guard?.doors.find(({ name }) => name === door);
    const what = `close door "${door}" for ${printAddress(source)}`;
    await this.#lane.run(async () => {
      await this.#takeOut(doorTable(door), source, what);
      if (policy !== undefined && policy.close !== 'keep') await this.#takeOut(LIVE, source, what);
    });
    if (policy?.close !== 'kill') return;
    const failure = await dropSessions(this.#folder, this.#block(source), policy.protect);
    if (failure !== undefined) {
      this.#warn(`Sessions of ${printAddress(source)} at door "${door}" hang instead of being reset: ${failure}`);
    }
  }

  ban({ source, remaining }: TimedSource): Promise<void> {
    const what = `ban ${printAddress(source)}`;
    return this.#lane.run(() => this.#putIn(BANS, source, remaining, what));
  }

  unban(source: Address): Promise<void> {
    return this.#lane.run(() => this.#takeOut(BANS, source, `end the ban of ${printAddress(source)}`));
  }

  allow({ source, remaining }: TimedSource): Promise<void> {
    return this.#lane.run(() => this.#putIn(ALLOWED, source, remaining, `allow ${printAddress(source)}`));
  }

  disallow(source: Address): Promise<void> {
    return this.#lane.run(() => this.#takeOut(ALLOWED, source, `no longer allow ${printAddress(source)}`));
  }

  async list(): Promise<Standing> {
    await this.#lane.settled();
    try {
      const grants: Grant[] = [];
      const bans: TimedSource[] = [];
      const allowed: TimedSource[] = [];
      for (const { table, source, value } of parseTables(await this.#ipfw(['table', 'all', 'list'])).entries) {
        const remaining = value === 0 ? Number.POSITIVE_INFINITY : Math.max(0, value * 1000 - wallNow());
        const door = doorOfTable(table);
        if (door !== undefined) grants.push({ door, source, remaining, comment: '' });
        else if (table === BANS) bans.push({ source, remaining });
        else if (table === ALLOWED) allowed.push({ source, remaining });
      }
      return { grants, bans, allowed };
    } catch (error) {
      throw refusal('Cannot list the grants', error);
    }
  }

  remove(): Promise<void> {
    return this.#lane.run(async () => {
      this.#standing = undefined;
      try {
        await this.#batch(removeCommands(parseTables(await this.#ipfw(['table', 'all', 'list'])).tables));
      } catch (error) {
        throw refusal('Cannot remove the guard', error);
      }
    });
  }

  watch(lost: () => void): { close(): void } {
    const stands = (): Promise<boolean> =>
      this.#lane.run(async () => {
        if (this.#standing === undefined || (await this.#state()) === this.#standing) return true;
        this.#standing = undefined;
        return false;
      });
    const watch = watchGuard({ stands, lost, warn: this.#warn });
    this.#watches.add(watch);
    return {
      close: () => {
        watch.close();
        this.#watches.delete(watch);
      },
    };
  }

  async stop(): Promise<void> {
    for (const watch of this.#watches) watch.close();
    await this.#lane.settled();
  }

  /** The sources of sessions on ports that are guarded now. */
  async #seed(guard: Guard): Promise<void> {
    const cut = guard.doors.filter(({ close }) => close !== 'keep').flatMap(({ protect }) => protect);
    if (cut.length === 0) return;
    const sessions = await netstatSessions(this.#folder);
    const mine = sessions.filter(({ port }) =>
      cut.some(({ protocol, first, last }) => protocol === 'tcp' && first <= port && port <= last),
    );
    const sources = new Set(mine.map(({ source }) => this.#entry(source, guard)));
    const lines = [...sources].map((source) => `table ${LIVE} add ${source}\n`);
    await this.#batch(`table ${LIVE} create type addr missing\n${lines.join('')}`);
  }

  async #putIn(table: string, source: Address, remaining: number, what: string): Promise<void> {
    if (!(remaining > 0)) throw new FirewallError(`Cannot ${what}: no time is left`);
    const end = Math.min(Math.ceil((wallNow() + remaining) / 1000), 0xffff_ffff);
    try {
      await this.#ipfw(['-q', 'table', table, 'add', this.#entry(source), `${end}`]);
    } catch (error) {
      throw refusal(`Cannot ${what}`, error);
    }
  }

  /** What is not there is out already. */
  async #takeOut(table: string, source: Address, what: string): Promise<void> {
    try {
      await this.#ipfw(['-q', 'table', table, 'delete', this.#entry(source)]);
    } catch (error) {
      if (!/not found/i.test((error as Error).message)) throw refusal(`Cannot ${what}`, error);
    }
  }

  /** What is in force, to be compared; undefined when it is not. */
  async #state(): Promise<string | undefined> {
    if (!isEnabled(await this.#ipfw(['set', 'show']))) return undefined;
    const rules = await this.#ipfw(['set', `${IN_FORCE}`, 'list']);
    return rules.trim() === '' ? undefined : rules;
  }

  #block(source: Address, guard: Guard | undefined = this.#guard): Prefix {
    if (guard === undefined) throw new FirewallError('The guard is not installed yet');
    const length = family(source) === 4 ? 32 : guard.ipv6Prefix;
    return { address: networkOf(source, length), length };
  }

  #entry(source: Address, guard?: Guard): string {
    const { address, length } = this.#block(source, guard);
    return entryKey(address, length, family(source) === 4 ? 32 : 128);
  }

  #ipfw(words: readonly string[]): Promise<string> {
    return runTool([`${this.#folder}ipfw`, ...words]);
  }

  async #batch(commands: string): Promise<void> {
    await runTool([`${this.#folder}ipfw`, '-q', '/dev/stdin'], commands);
  }
}
