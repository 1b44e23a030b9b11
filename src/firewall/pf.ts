/**
 * The driver for pf (OpenBSD, FreeBSD, macOS): tables of an anchor, fed by the daemon, which also ends what it has opened (`expires` is
 * false). pf keeps neither times nor comments: lists show every grant as endless, and the keeper's own record tells.
 *
 * It was written by the manuals and is tested against a stub of `pfctl` that records what it is told; it was never run on OpenBSD,
 * FreeBSD or macOS. What it promises less than the contract: when the daemon is killed, a door that is open stays so until the next
 * start, which closes what is overdue at once; closed ports can not be mirrored; whoever had a session before the guard may send
 * (not begin) at `cut` doors.
 */

import { type Address, family, printAddress } from '../core/address.ts';
import { networkOf, type Prefix } from '../core/policy.ts';
import {
  type FirewallDriver,
  FirewallError,
  type Grant,
  type Guard,
  type Standing,
  type TimedSource,
} from './driver.ts';
import { type GuardWatch, watchGuard } from './guard-watch.ts';
import { Lane } from './lane.ts';
import { dropSessions, netstatSessions } from './netstat.ts';
import { checkGuard } from './nft-rules.ts';
import {
  ALLOWED,
  ANCHOR,
  anchorRules,
  BANS,
  doorTable,
  LIVE,
  parseAnchor,
  parseTable,
  statesOf,
  TRUSTED,
} from './pf-rules.ts';
import { refusal, runTool } from './tool.ts';

export interface PfOptions {
  readonly warn?: (message: string) => void;
  /** The folder of `pfctl`, `netstat` and `tcpdrop` with a slash behind; found by PATH unless said. */
  readonly folder?: string;
}

export function openPf(options: PfOptions = {}): FirewallDriver {
  return new PfDriver(options);
}

class PfDriver implements FirewallDriver {
  readonly name = 'pf';
  readonly expires = false;
  readonly #warn: (message: string) => void;
  readonly #folder: string;
  readonly #lane = new Lane();
  readonly #watches = new Set<GuardWatch>();
  #guard: Guard | undefined;
  #standing: string | undefined;

  constructor({ warn = () => {}, folder = '' }: PfOptions) {
    this.#warn = warn;
    this.#folder = folder;
  }

  install(guard: Guard): Promise<boolean> {
    return this.#lane.run(async () => {
      try {
        checkGuard(guard);
        await this.#checkHost();
        const before = await this.#tables();
        if (!before.includes(LIVE)) await this.#seed(guard);
        await this.#anchor(['-f', '-'], anchorRules(guard));
        this.#guard = guard;
        const wanted = new Set([BANS, LIVE, ALLOWED, TRUSTED, ...guard.doors.map(({ name }) => doorTable(name))]);
        for (const table of before) if (!wanted.has(table)) await this.#anchor(['-t', table, '-T', 'kill']);
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
      // pfctl would make a table for it.
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
      if (policy === undefined || policy.close === 'keep') return;
      await this.#takeOut(LIVE, source, what);
      try {
        const states = await this.#pfctl(['-vv', '-s', 'states']);
        for (const id of statesOf(states, this.#block(source), policy.protect))
          await this.#pfctl(['-k', 'id', '-k', id]);
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
      await this.#putIn(BANS, source, remaining, what);
      try {
        // Packets of a session that has a state never come to the rules.
        await this.#pfctl(['-k', this.#entry(source)]);
      } catch (error) {
        throw refusal(`Cannot ${what}`, error);
      }
    });
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
      const standing = new Set(await this.#tables());
      const show = async (table: string): Promise<Address[]> =>
        standing.has(table) ? parseTable(await this.#anchor(['-t', table, '-T', 'show'])) : [];
      const remaining = Number.POSITIVE_INFINITY;
      const grants: Grant[] = [];
      for (const { name } of this.#guard?.doors ?? []) {
        const sources = await show(doorTable(name));
        grants.push(...sources.map((source) => ({ door: name, source, remaining, comment: '' })));
      }
      const timed = async (table: string): Promise<TimedSource[]> =>
        (await show(table)).map((source) => ({ source, remaining }));
      return { grants, bans: await timed(BANS), allowed: await timed(ALLOWED) };
    } catch (error) {
      throw refusal('Cannot list the grants', error);
    }
  }

  remove(): Promise<void> {
    return this.#lane.run(async () => {
      this.#standing = undefined;
      try {
        await this.#anchor(['-F', 'rules']);
        for (const table of await this.#tables()) await this.#anchor(['-t', table, '-T', 'kill']);
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

  async #checkHost(): Promise<void> {
    if (!/^Status: Enabled/m.test(await this.#pfctl(['-s', 'info']))) {
      throw new FirewallError('pf is not enabled (pfctl -e)');
    }
    const anchor = parseAnchor(await this.#pfctl(['-s', 'rules']));
    if (anchor === 'missing') throw new FirewallError(`pf.conf has no line: anchor "${ANCHOR}"`);
    if (anchor === 'behind quick') {
      this.#warn(`pf.conf has "quick" rules before the anchor "${ANCHOR}": what they decide is not guarded`);
    }
  }

  /** The sources of sessions on ports that are guarded now. */
  async #seed(guard: Guard): Promise<void> {
    const cut = guard.doors.filter(({ close }) => close !== 'keep').flatMap(({ protect }) => protect);
    if (cut.length === 0) return;
    const sessions = await netstatSessions(this.#folder);
    const mine = sessions.filter(({ port }) =>
      cut.some(({ protocol, first, last }) => protocol === 'tcp' && first <= port && port <= last),
    );
    const sources = [...new Set(mine.map(({ source }) => this.#entry(source, guard)))];
    if (sources.length > 0) await this.#anchor(['-t', LIVE, '-T', 'add', ...sources]);
  }

  async #putIn(table: string, source: Address, remaining: number, what: string): Promise<void> {
    if (!(remaining > 0)) throw new FirewallError(`Cannot ${what}: no time is left`);
    try {
      await this.#anchor(['-t', table, '-T', 'add', this.#entry(source)]);
    } catch (error) {
      throw refusal(`Cannot ${what}`, error);
    }
  }

  /** What is not there is out already. */
  async #takeOut(table: string, source: Address, what: string): Promise<void> {
    try {
      await this.#anchor(['-t', table, '-T', 'delete', this.#entry(source)]);
    } catch (error) {
      if (!/does not exist/i.test((error as Error).message)) throw refusal(`Cannot ${what}`, error);
    }
  }

  async #tables(): Promise<string[]> {
    try {
      const shown = await this.#anchor(['-s', 'Tables']);
      return shown
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => line !== '');
    } catch (error) {
      if (/does not exist/i.test((error as Error).message)) return []; // The anchor has never had rules.
      throw error;
    }
  }

  /** What is in force, to be compared; undefined when it is not. */
  async #state(): Promise<string | undefined> {
    if (!/^Status: Enabled/m.test(await this.#pfctl(['-s', 'info']))) return undefined;
    if (parseAnchor(await this.#pfctl(['-s', 'rules'])) === 'missing') return undefined;
    const rules = await this.#anchor(['-s', 'rules']);
    return rules.trim() === '' ? undefined : rules;
  }

  #block(source: Address, guard: Guard | undefined = this.#guard): Prefix {
    if (guard === undefined) throw new FirewallError('The guard is not installed yet');
    const length = family(source) === 4 ? 32 : guard.ipv6Prefix;
    return { address: networkOf(source, length), length };
  }

  #entry(source: Address, guard?: Guard): string {
    const { address, length } = this.#block(source, guard);
    return length === (family(source) === 4 ? 32 : 128) ? printAddress(address) : `${printAddress(address)}/${length}`;
  }

  #anchor(words: readonly string[], input = ''): Promise<string> {
    return this.#pfctl(['-a', ANCHOR, ...words], input);
  }

  #pfctl(words: readonly string[], input = ''): Promise<string> {
    return runTool([`${this.#folder}pfctl`, ...words], input);
  }
}
