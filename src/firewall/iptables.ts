/**
 * The driver for iptables with ipset, of either backend. Rules go in by `iptables-restore`, once a family; grants and bans are elements
 * of sets with a time of their own, put in and taken out by one `ipset restore` each, and the kernel ends them.
 *
 * - Operations are carried out one after another, in the order in which they were asked for.
 * - ipset keeps time in whole seconds. A grant is rounded up, and closed at its millisecond from here; should we be gone by then, the
 *   kernel closes it less than a second later. Lists are rounded down. A grant lasts 24 days at most: longer ones are refused.
 * - The sets of a new guard are made before its rules, the old ones go after them. When the second family's rules are refused, the
 *   first gets back those it had, if this driver put them there; else it keeps the new ones, which is the closed side.
 * - The watch asks `iptables-save`: soon after an installation and after each change, then ever less often, at least every two
 *   seconds; where rules live in nf_tables, its notifications make it ask at once.
 */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type Address, type Family, family, printAddress } from '../core/address.ts';
import type { Prefix } from '../core/policy.ts';
import { after } from '../platform/timer.ts';
import {
  type FirewallDriver,
  FirewallError,
  type Grant,
  type Guard,
  type Standing,
  type TimedSource,
  type Try,
} from './driver.ts';
import { forgetSessions, makeSets, setsOf } from './guard-sets.ts';
import { GuardWatches } from './guard-watch.ts';
import { blockIn } from './guarded.ts';
import {
  addSession,
  addSource,
  allowSetName,
  banSetName,
  doorOfSetName,
  holdsSources,
  isOurSet,
  LONGEST,
  liveSetName,
  openSetName,
  parseHeaders,
} from './ipset.ts';
import { elementsOf, ipset, isMissingSet, ourSets, restoreSets, triesIn } from './ipset-tool.ts';
import { answers, guardedPorts, guardText, parseStanding, removalText, type StandingTable } from './iptables-rules.ts';
import { Lane } from './lane.ts';
import { checkGuard } from './nft-rules.ts';
import { monitorNft } from './nft-socket.ts';
import { liveSessions, resetSessions } from './sessions.ts';
import { refusal, runTool } from './tool.ts';

/** As long as conntrack itself remembers an idle session. */
const LIVE_TIME = 5 * 24 * 3_600_000;
/** Of nf_tables, where the rules of iptables are. */
const TABLES = ['mangle', 'filter', 'nat', 'security'];

export interface IptablesOptions {
  /** The programs to use: the host's choice unless said. */
  readonly backend?: 'legacy' | 'nft';
  /** Told what went wrong without undoing what was asked for, e.g. sessions that could not be reset. */
  readonly warn?: (message: string) => void;
}

type StandingTables = Readonly<Record<Family, readonly StandingTable[]>>;

export function openIptables(options: IptablesOptions = {}): FirewallDriver {
  return new IptablesDriver(options);
}

class IptablesDriver implements FirewallDriver {
  readonly name = 'iptables';
  readonly expires = true;
  readonly longest = LONGEST;
  readonly #warn: (message: string) => void;
  readonly #backend: string;
  readonly #lane = new Lane();
  readonly #watches: GuardWatches;
  /** What ends grants and bans at their millisecond, by set and source. */
  readonly #endings = new Map<string, () => void>();
  #guard: Guard | undefined;
  #fingerprint: string | undefined;

  constructor({ backend, warn = () => {} }: IptablesOptions) {
    this.#warn = warn;
    this.#watches = new GuardWatches({ stands: () => this.#stands(), warn });
    this.#backend = backend === undefined ? '' : `-${backend}`;
  }

  install(guard: Guard): Promise<boolean> {
    return this.#lane.run(async () => {
      try {
        checkGuard(guard);
        for (const { name, openFor } of guard.doors) checkTime(openFor, `door "${name}"`);
        const standing = await this.#standing();
        const headers = parseHeaders(await ipset(['list', '-terse']));
        const sets = setsOf(guard);
        await makeSets(guard, sets, headers);
        await this.#seed(guard, standing);
        await this.#putInForce(guard, standing);
        this.#guard = guard;
        const wanted = new Set(sets.map(({ name }) => name));
        const gone = headers.filter(({ name }) => isOurSet(name) && !wanted.has(name));
        await this.#destroy(gone.map(({ name }) => name));
        const now = await this.#standing();
        for (const version of families()) {
          if (!now[version].some(({ table, hooked }) => table === 'mangle' && hooked)) {
            throw new FirewallError('somebody else removed it at once');
          }
        }
        this.#fingerprint = digestOf(now);
        this.#watches.soon();
        return standing[4].some(({ table, hooked }) => table === 'mangle' && hooked);
      } catch (error) {
        throw refusal('Cannot install the guard', error);
      }
    });
  }

  open({ door, source, remaining, comment }: Grant): Promise<void> {
    return this.#lane.run(() => {
      const set = openSetName(door, family(source));
      return this.#putIn(set, source, remaining, comment, `open door "${door}" for ${printAddress(source)}`);
    });
  }

  async close(door: string, source: Address): Promise<void> {
    const policy = this.#guard?.doors.find(({ name }) => name === door);
    const ports = (policy?.protect ?? []).filter(({ protocol }) => protocol === 'tcp');
    await this.#lane.run(async () => {
      const what = `close door "${door}" for ${printAddress(source)}`;
      await this.#takeOut(openSetName(door, family(source)), source, what);
      if (policy === undefined || policy.close === 'keep') return;
      try {
        await forgetSessions(this.#block(source), (port) =>
          ports.some(({ first, last }) => first <= port && port <= last),
        );
      } catch (error) {
        throw refusal(`Cannot ${what}`, error);
      }
    });
    if (policy?.close !== 'kill' || ports.length === 0) return;
    const failure = await resetSessions(this.#block(source), ports);
    if (failure === undefined) return;
    this.#warn(
      `Sessions of ${printAddress(source)} at door "${door}" are not reset before they send again: ${failure}`,
    );
  }

  ban({ source, remaining }: TimedSource): Promise<void> {
    return this.#lane.run(() =>
      this.#putIn(banSetName(family(source)), source, remaining, '', `ban ${printAddress(source)}`),
    );
  }

  unban(source: Address): Promise<void> {
    return this.#lane.run(() =>
      this.#takeOut(banSetName(family(source)), source, `end the ban of ${printAddress(source)}`),
    );
  }

  allow({ source, remaining }: TimedSource): Promise<void> {
    return this.#lane.run(() =>
      this.#putIn(allowSetName(family(source)), source, remaining, '', `allow ${printAddress(source)}`),
    );
  }

  disallow(source: Address): Promise<void> {
    return this.#lane.run(() =>
      this.#takeOut(allowSetName(family(source)), source, `no longer allow ${printAddress(source)}`),
    );
  }

  async list(): Promise<Standing> {
    await this.#lane.settled();
    try {
      const grants: Grant[] = [];
      const bans: TimedSource[] = [];
      const allowed: TimedSource[] = [];
      const doors = this.#guard?.doors.map(({ name }) => name) ?? [];
      const names = (await ourSets()).filter(holdsSources);
      for (const { set, source, remaining, comment } of await elementsOf(names)) {
        const opened = doorOfSetName(set, doors);
        if (opened) grants.push({ door: opened.door, source, remaining, comment });
        else if (set === banSetName(family(source))) bans.push({ source, remaining });
        else if (set === allowSetName(family(source))) allowed.push({ source, remaining });
      }
      return { grants, bans, allowed };
    } catch (error) {
      throw refusal('Cannot list the grants', error);
    }
  }

  tried(): Promise<readonly Try[]> {
    return triesIn();
  }

  remove(): Promise<void> {
    return this.#lane.run(async () => {
      this.#fingerprint = undefined;
      this.#guard = undefined;
      this.#forgetEndings();
      try {
        const standing = await this.#standing();
        for (const version of families()) await this.#restore(version, removalText(standing[version]));
        await this.#destroy(await ourSets());
      } catch (error) {
        throw refusal('Cannot remove the guard', error);
      }
    });
  }

  watch(lost: () => void): { close(): void } {
    return this.#watches.begin(lost, (ask) => {
      try {
        return monitorNft(({ table }) => TABLES.includes(table), ask);
      } catch {
        return undefined; // No nf_tables here.
      }
    });
  }

  async stop(): Promise<void> {
    this.#watches.close();
    this.#forgetEndings();
    await this.#lane.settled();
  }

  /** Lets the sessions go on that live on ports which were not guarded before. */
  async #seed(guard: Guard, standing: StandingTables): Promise<void> {
    const tcp = ({ doors }: Guard) =>
      doors.flatMap((door) => door.protect).filter(({ protocol }) => protocol === 'tcp');
    const ranges = tcp(guard);
    // Rules that somebody removed guarded these; the sets with the sessions older than them are still there.
    const before = this.#guard && !this.#guard.observe ? tcp(this.#guard) : [];
    const guarded = {
      4: [...guardedPorts(standing[4]), ...before],
      6: [...guardedPorts(standing[6]), ...before],
    };
    const isGuarded = (version: Family, port: number): boolean =>
      guarded[version].some(({ first, last }) => first <= port && port <= last);
    const fresh = (version: Family, port: number): boolean =>
      ranges.some(({ first, last }) => first <= port && port <= last) && !isGuarded(version, port);
    // Where a fresh port is, there is one at the beginning of a range or right behind a guarded one.
    const edges = families().flatMap((version) =>
      [...ranges.map(({ first }) => first), ...guarded[version].map(({ last }) => last + 1)].map(
        (port) => [version, port] as const,
      ),
    );
    if (!edges.some(([version, port]) => fresh(version, port))) return;
    const cut = guard.doors.some(({ close }) => close !== 'keep');
    const live = await liveSessions((port) => fresh(4, port) || fresh(6, port), cut, guard.tarpit);
    await restoreSets(
      live
        .filter(({ source, port }) => fresh(family(source), port))
        .map((session) => addSession(liveSetName(family(session.source)), session, LIVE_TIME)),
    );
  }

  async #putInForce(guard: Guard, standing: StandingTables): Promise<void> {
    let answer = answers(guard);
    for (const version of families()) {
      try {
        await this.#restore(version, guardText(guard, version, standing[version], answer));
      } catch (error) {
        if (answer && /security/.test((error as Error).message)) {
          // Its part comes first: nothing has been done yet in this family.
          answer = false;
          this.#warn(
            `This kernel has no security table for iptables: closed ports answer nothing (${(error as Error).message})`,
          );
          await this.#restore(version, guardText(guard, version, standing[version], answer));
          continue;
        }
        if (version === 6 && this.#guard !== undefined) {
          const now = parseStanding(await this.#save(4));
          await this.#restore(4, guardText(this.#guard, 4, now)).catch(() => {});
        }
        throw error;
      }
    }
  }

  async #putIn(set: string, source: Address, remaining: number, comment: string, what: string): Promise<void> {
    if (!(remaining > 0)) throw new FirewallError(`Cannot ${what}: no time is left`);
    try {
      checkTime(remaining, 'it');
      const { address } = this.#block(source);
      await restoreSets([addSource(set, address, remaining, comment)]);
    } catch (error) {
      throw refusal(`Cannot ${what}`, explained(error));
    }
    this.#endAt(set, source, remaining);
  }

  /** The kernel ends full seconds by itself. */
  #endAt(set: string, source: Address, remaining: number): void {
    const key = `${set} ${printAddress(this.#block(source).address)}`;
    this.#endings.get(key)?.();
    this.#endings.delete(key);
    if (remaining % 1000 === 0) return;
    const cancel = after(remaining, () => {
      void this.#lane
        .run(async () => {
          // Opened again or closed, while this waited for its turn.
          if (this.#endings.get(key) === cancel) await this.#takeOut(set, source, `end what is due in ${set}`);
        })
        .catch((error: Error) => this.#warn(error.message));
    });
    this.#endings.set(key, cancel);
  }

  /** What is not there is out already. */
  async #takeOut(set: string, source: Address, what: string): Promise<void> {
    const address = printAddress(this.#block(source).address);
    const key = `${set} ${address}`;
    this.#endings.get(key)?.();
    this.#endings.delete(key);
    try {
      await restoreSets([`del ${set} ${address}`]);
    } catch (error) {
      if (!isMissingSet(error)) throw refusal(`Cannot ${what}`, error);
    }
  }

  #forgetEndings(): void {
    for (const cancel of this.#endings.values()) cancel();
    this.#endings.clear();
  }

  #block(source: Address): Prefix {
    return blockIn(this.#guard, source);
  }

  /** True when there is nothing that should stand. Looks twice before it says no: the second time when no installation is under way. */
  async #stands(): Promise<boolean> {
    const asked = this.#fingerprint;
    if (asked === undefined || digestOf(await this.#standing()) === asked) return true;
    return this.#lane.run(async () => {
      if (this.#fingerprint === undefined || digestOf(await this.#standing()) === this.#fingerprint) return true;
      this.#fingerprint = undefined;
      return false;
    });
  }

  async #standing(): Promise<StandingTables> {
    const [four, six] = await Promise.all(families().map(async (version) => parseStanding(await this.#save(version))));
    return { 4: four ?? [], 6: six ?? [] };
  }

  #save(version: Family): Promise<string> {
    return runTool([`${iptables(version)}${this.#backend}-save`]);
  }

  async #restore(version: Family, text: string): Promise<void> {
    if (text !== '') await runTool([`${iptables(version)}${this.#backend}-restore`, '--noflush', '--wait', '10'], text);
  }

  async #destroy(sets: readonly string[]): Promise<void> {
    await restoreSets(sets.map((name) => `destroy ${name}`));
  }
}

/** IPv6 only where the kernel has it. */
function families(): readonly Family[] {
  return existsSync('/proc/net/if_inet6') ? [4, 6] : [4];
}

function iptables(version: Family): string {
  return version === 4 ? 'iptables' : 'ip6tables';
}

function digestOf(standing: StandingTables): string {
  const hash = createHash('sha256');
  for (const version of [4, 6] as const) {
    for (const { lines } of standing[version]) hash.update(`${version}\n${lines.join('\n')}\n`);
  }
  return hash.digest('hex');
}

function checkTime(time: number, what: string): void {
  if (time > LONGEST) throw new FirewallError(`ipset keeps ${what} open for at most 24 days`);
}

function explained(error: unknown): unknown {
  if (isMissingSet(error)) return new Error('the guard in the kernel has no such door', { cause: error });
  if (/is full/.test((error as Error).message)) {
    return new Error('the kernel holds as many as its set has room for', { cause: error });
  }
  return error;
}
