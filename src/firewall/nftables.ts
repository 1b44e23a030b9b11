/**
 * The driver for nftables. The guard goes in as text through one `nft -f -`; grants and bans are single set elements, put in
 * and taken out over netlink (tens of microseconds, no program), and the kernel ends them.
 *
 * - Operations are carried out one after another, in the order in which they were asked for. Lists use a socket of their own, so
 *   that a long one holds nobody up; they show at least what was done before they were asked for.
 * - A grant without an end would be an element without a time: such a time is refused here.
 * - The watch compares what stands with what stood after our own installation: table, chains, rules and the elements of the port
 *   maps. Elements of open and ban sets belong to whoever puts them there, the administrator too.
 * - After a foreign `nft flush ruleset` grants are gone with the guard: the keeper installs again and opens its grants anew.
 */

import { createHash } from 'node:crypto';
import { type Address, type Family, family, printAddress } from '../core/address.ts';
import { contains, type Prefix } from '../core/policy.ts';
import { SystemError } from '../platform/libc.ts';
import { feedProgram } from '../platform/process.ts';
import {
  type FirewallDriver,
  FirewallError,
  type Grant,
  type Guard,
  type Standing,
  type TimedSource,
  type Try,
} from './driver.ts';
import { blockIn } from './guarded.ts';
import { decodeNames, type ElementChange, elementBytes, NFT, renewal } from './nfnetlink.ts';
import { addressOf, keyOf, portOfSessionKey, triedOf } from './nft-keys.ts';
import {
  allowSet,
  banSet,
  doorOfSet,
  guardedPorts,
  guardRules,
  LIVE_SIZE,
  type LiveSession,
  liveSet,
  NO_RULES,
  openSet,
  PORT_MAPS,
  type StandingNames,
  TABLE,
} from './nft-rules.ts';
import { monitorNft, NftSocket } from './nft-socket.ts';
import { triedSet } from './nft-tried.ts';
import { portSegments } from './port-segments.ts';
import { liveSessions, resetSessions } from './sessions.ts';

const NFT_TIMEOUT = 60_000;
const COMPLAINT_LIMIT = 4096;
const CHUNK = 500;
/** About three years: the kernel refuses times that overflow its tick counter. */
const LONGEST = 100_000_000_000;

export interface NftablesOptions {
  /** Told what went wrong without undoing what was asked for, e.g. sessions that could not be reset. */
  readonly warn?: (message: string) => void;
}

/** Opens the driver. Throws a `FirewallError` where nf_tables can not be reached at all (no CAP_NET_ADMIN, no such kernel). */
export function openNftables(options: NftablesOptions = {}): FirewallDriver {
  try {
    return new NftablesDriver(options);
  } catch (error) {
    throw refusal('Cannot talk to nf_tables', error);
  }
}

class NftablesDriver implements FirewallDriver {
  readonly name = 'nftables';
  readonly expires = true;
  readonly longest = LONGEST;
  readonly #warn: (message: string) => void;
  readonly #changes = new NftSocket();
  readonly #lists = new NftSocket();
  readonly #watches = new Set<{ close(): void }>();
  #last: Promise<unknown> = Promise.resolve();
  #guard: Guard | undefined;
  #fingerprint: string | undefined;
  #destroys = true;
  /** Sessions older than the guard, as they were found. */
  #seeded: readonly LiveSession[] = [];

  constructor({ warn = () => {} }: NftablesOptions) {
    this.#warn = warn;
  }

  install(guard: Guard): Promise<boolean> {
    return this.#inOrder(async () => {
      try {
        const standing: StandingNames = {
          chains: await this.#lists.names('getChain'),
          sets: await this.#lists.names('getSet'),
        };
        // Somebody removed it: who came in meanwhile, or was cut off before, is not let in for that.
        const removed = standing.chains.length === 0 && this.#guard?.observe === false ? this.#guard : undefined;
        const fresh = await this.#newlyGuarded(guard, standing, removed);
        await runNft(guardRules(guard, removed ? [...this.#seeded, ...fresh] : fresh, standing));
        this.#seeded = [...this.#seeded, ...fresh].slice(-LIVE_SIZE);
        this.#guard = guard;
        const { chains, digest } = await this.#fingerprintNow();
        if (!chains.includes('prerouting')) throw new FirewallError('somebody else removed it at once');
        this.#fingerprint = digest;
        return standing.chains.includes('prerouting');
      } catch (error) {
        throw refusal('Cannot install the guard', error);
      }
    });
  }

  open({ door, source, remaining, comment }: Grant): Promise<void> {
    return this.#inOrder(() => {
      const set = openSet(door, family(source));
      this.#putIn(set, source, remaining, comment, `open door "${door}" for ${printAddress(source)}`);
    });
  }

  async close(door: string, source: Address): Promise<void> {
    const policy = this.#guard?.doors.find(({ name }) => name === door);
    await this.#inOrder(async () => {
      const what = `close door "${door}" for ${printAddress(source)}`;
      this.#takeOut(openSet(door, family(source)), [this.#key(source)], what);
      if (policy === undefined || policy.close === 'keep') return;
      await this.#forgetLive(source, (port) =>
        policy.protect.some(({ protocol, first, last }) => protocol === 'tcp' && first <= port && port <= last),
      );
    });
    if (policy?.close !== 'kill') return;
    const ports = policy.protect.filter(({ protocol }) => protocol === 'tcp');
    const failure = await resetSessions(this.#block(source), ports);
    if (failure === undefined) return;
    this.#warn(
      `Sessions of ${printAddress(source)} at door "${door}" are not reset before they send again: ${failure}`,
    );
  }

  ban({ source, remaining }: TimedSource): Promise<void> {
    return this.#inOrder(() =>
      this.#putIn(banSet(family(source)), source, remaining, '', `ban ${printAddress(source)}`),
    );
  }

  unban(source: Address): Promise<void> {
    return this.#inOrder(() =>
      this.#takeOut(banSet(family(source)), [this.#key(source)], `end the ban of ${printAddress(source)}`),
    );
  }

  allow({ source, remaining }: TimedSource): Promise<void> {
    return this.#inOrder(() =>
      this.#putIn(allowSet(family(source)), source, remaining, '', `allow ${printAddress(source)}`),
    );
  }

  disallow(source: Address): Promise<void> {
    return this.#inOrder(() =>
      this.#takeOut(allowSet(family(source)), [this.#key(source)], `no longer allow ${printAddress(source)}`),
    );
  }

  async list(): Promise<Standing> {
    await this.#last;
    try {
      const grants: Grant[] = [];
      const bans: TimedSource[] = [];
      const allowed: TimedSource[] = [];
      for (const set of await this.#lists.names('getSet')) {
        const opened = doorOfSet(set);
        const isTimed = (version: Family): boolean => banSet(version) === set || allowSet(version) === set;
        const version: Family | undefined = opened?.version ?? ([4, 6] as const).find(isTimed);
        if (version === undefined) continue;
        const timed = set === banSet(version) ? bans : allowed;
        for (const { key, remaining, comment } of await this.#lists.elements(set)) {
          const source = addressOf(key, version);
          if (source === undefined) continue;
          if (opened) grants.push({ door: opened.door, source, remaining, comment });
          else timed.push({ source, remaining });
        }
      }
      return { grants, bans, allowed };
    } catch (error) {
      throw refusal('Cannot list the grants', error);
    }
  }

  async tried(): Promise<readonly Try[]> {
    const tries: Try[] = [];
    for (const version of [4, 6] as const) {
      for (const { key, remaining } of await this.#lists.elements(triedSet(version))) {
        const source = addressOf(key, version);
        const what = triedOf(key, version);
        if (source && what) tries.push({ source, ...what, remaining });
      }
    }
    return tries;
  }

  remove(): Promise<void> {
    return this.#inOrder(async () => {
      this.#fingerprint = undefined;
      this.#guard = undefined;
      this.#seeded = [];
      try {
        await runNft(NO_RULES);
      } catch (error) {
        throw refusal('Cannot remove the guard', error);
      }
    });
  }

  watch(lost: () => void): { close(): void } {
    let checking = false;
    let again = false;
    const check = async (): Promise<void> => {
      again = checking;
      if (checking) return;
      checking = true;
      do {
        again = false;
        await this.#inOrder(async () => {
          if (this.#fingerprint === undefined || (await this.#fingerprintNow()).digest === this.#fingerprint) return;
          this.#fingerprint = undefined;
          lost();
        }).catch((error: Error) => this.#warn(`Cannot see whether the guard stands: ${error.message}`));
      } while (again);
      checking = false;
    };
    const monitor = monitorNft(concernsGuard, () => void check());
    const watch = {
      close: () => {
        if (this.#watches.delete(watch)) monitor.close();
      },
    };
    this.#watches.add(watch);
    return watch;
  }

  async stop(): Promise<void> {
    for (const watch of this.#watches) watch.close();
    await this.#last;
    this.#changes.close();
    this.#lists.close();
  }

  #inOrder<T>(act: () => T | Promise<T>): Promise<T> {
    const done = this.#last.then(act);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Sessions on ports that were not guarded before; containers' sessions matter only where the guard comes before conntrack. */
  async #newlyGuarded(
    guard: Guard,
    standing: StandingNames,
    removed: Guard | undefined,
  ): Promise<readonly LiveSession[]> {
    const stands = guardedPorts(standing);
    const before = portSegments(removed?.doors ?? []);
    const guarded = (port: number): boolean =>
      stands('tcp', port) ||
      before.some(({ protocol, first, last }) => protocol === 'tcp' && first <= port && port <= last);
    const fresh = new Set<number>();
    for (const { protocol, first, last } of guard.doors.flatMap((door) => door.protect)) {
      if (protocol !== 'tcp') continue;
      for (let port = first; port <= last; port += 1) if (!guarded(port)) fresh.add(port);
    }
    // The kernel takes milliseconds to list even no session at all.
    if (fresh.size === 0) return [];
    const cut = guard.doors.some(({ close }) => close !== 'keep');
    return liveSessions((port) => fresh.has(port), cut, guard.tarpit);
  }

  #putIn(set: string, source: Address, remaining: number, comment: string, what: string): void {
    if (!(remaining > 0)) throw new FirewallError(`Cannot ${what}: no time is left`);
    const element = { key: this.#key(source), timeout: Math.min(remaining, LONGEST), comment };
    try {
      this.#changes.change(renewal(set, element));
    } catch (error) {
      throw refusal(`Cannot ${what}`, explained(error));
    }
  }

  /** What is not there is out already. */
  #takeOut(set: string, keys: readonly Uint8Array[], what: string): void {
    const elements = keys.map((key) => ({ key }));
    const takeOut: ElementChange[] = this.#destroys
      ? [{ action: 'destroy', set, elements }]
      : [
          { action: 'add', set, elements },
          { action: 'delete', set, elements },
        ];
    try {
      this.#changes.change(takeOut);
    } catch (error) {
      const code = error instanceof SystemError ? error.code : '';
      if (code === 'ENOENT') return; // No such door, or no guard at all.
      if (!this.#destroys || (code !== 'EINVAL' && code !== 'EOPNOTSUPP')) throw refusal(`Cannot ${what}`, error);
      this.#destroys = false;
      this.#takeOut(set, keys, what);
    }
  }

  /** Ends the leave of sessions older than the guard. */
  async #forgetLive(source: Address, onPort: (port: number) => boolean): Promise<void> {
    const version = family(source);
    const mine = this.#block(source);
    const elements = await this.#lists.elements(liveSet(version));
    const keys = elements
      .map(({ key }) => key)
      .filter((key) => {
        const address = addressOf(key, version);
        return address !== undefined && contains(mine, address) && onPort(portOfSessionKey(key, version));
      });
    this.#seeded = this.#seeded.filter(({ source: from, port }) => !(contains(mine, from) && onPort(port)));
    // An attribute holds 64 KiB.
    for (let at = 0; at < keys.length; at += CHUNK) {
      this.#takeOut(liveSet(version), keys.slice(at, at + CHUNK), 'forget sessions');
    }
  }

  #block(source: Address): Prefix {
    return blockIn(this.#guard, source);
  }

  #key(source: Address): Uint8Array {
    return keyOf(this.#block(source).address);
  }

  /** What stands of the guard. Hash tables list their elements in any order. */
  async #fingerprintNow(): Promise<{ readonly chains: readonly string[]; readonly digest: string }> {
    const tables = await this.#lists.dump('getTable');
    const chains = await this.#lists.dump('getChain');
    const rules = await this.#lists.dump('getRule');
    const hash = createHash('sha256');
    for (const body of [...tables, ...chains, ...rules]) hash.update(body);
    for (const map of PORT_MAPS) {
      const elements = (await this.#lists.dump('getElement', map)).flatMap(elementBytes);
      for (const bytes of elements.sort(Buffer.compare)) hash.update(bytes);
    }
    return { chains: chains.map((body) => decodeNames(NFT.newChain, body).name), digest: hash.digest('hex') };
  }
}

function concernsGuard({ number, table, name }: { number: number; table: string; name: string }): boolean {
  if (table !== TABLE) return false;
  return number <= NFT.delSet || ((number === NFT.newElement || number === NFT.delElement) && PORT_MAPS.includes(name));
}

/** Runs one transaction. What nft wrote goes into the error, without the copy of the line that it blames. */
async function runNft(rules: string): Promise<void> {
  const limits = { timeout: NFT_TIMEOUT, limit: COMPLAINT_LIMIT };
  const { ending, complaints } = await feedProgram(['nft', '-f', '-'], rules, limits);
  if ('status' in ending && ending.status === 0) return;
  if ('failed' in ending) throw new FirewallError(`cannot start nft: ${ending.failed}`);
  const said = complaints.split('\n').find((line) => /error/i.test(line)) ?? complaints.trim();
  const how = 'signal' in ending ? `it was ended by ${ending.signal}` : `it ended with status ${ending.status}`;
  throw new FirewallError(`nft says: ${said || how}`);
}

function explained(error: unknown): unknown {
  const code = error instanceof SystemError ? error.code : '';
  if (code === 'ENOENT') return new Error('the guard in the kernel has no such door', { cause: error });
  if (code === 'ENFILE') return new Error('the kernel holds as many as its set has room for', { cause: error });
  return error;
}

function refusal(what: string, error: unknown): FirewallError {
  if (!(error instanceof Error)) throw error;
  return new FirewallError(`${what}: ${error.message}`, { cause: error });
}
