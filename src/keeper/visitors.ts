/**
 * Who is kept out and who always passes: bans, leaves for a while, and the account of strangers, over one firewall and one state.
 * What people ask for is answered here; what strangers do comes in as sightings and failed knocks.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import { Refusal, type SourceStatus, type Status, type Stranger } from '../control/controlled.ts';
import { type Address, family, printAddress, sameAddress } from '../core/address.ts';
import type { HistoryEvent } from '../core/history.ts';
import type { HashSeed } from '../core/keyed-hash.ts';
import { contains, type Prefix } from '../core/policy.ts';
import type { Sighting } from '../core/sightings.ts';
import { type FirewallDriver, FirewallError, type Standing } from '../firewall/driver.ts';
import { liveSessions } from '../firewall/sessions.ts';
import { addressesOf } from '../platform/interfaces.ts';
import type { State } from '../store/state.ts';
import { readGuest, readHost } from './asked-source.ts';
import { printPort, Strangers } from './strangers.ts';
import { type LiveSource, TimedSources } from './timed-sources.ts';
import { Tries } from './tries.ts';
import { prefixOf, touchOf } from './warden-config.ts';

export interface VisitorPorts {
  readonly driver: FirewallDriver;
  readonly state: State;
  readonly grantsOf: (source: Address) => readonly string[];
  readonly record: (event: HistoryEvent) => void;
  readonly seed: HashSeed;
  readonly monotonicNow: () => number;
  readonly wallNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

/** A person's ban or leave, unless said otherwise. */
const USUAL_TIME = 600_000;
/** Milliseconds that the list of sessions is good for. */
const SESSIONS_FRESH = 2000;

export class Visitors {
  readonly #ports: VisitorPorts;
  readonly #bans: TimedSources;
  readonly #allowed: TimedSources;
  readonly #strangers: Strangers;
  readonly #tries: Tries | undefined;
  #config: PosternConfig;
  #sessions: { readonly at: number; readonly sources: Promise<readonly Address[]> } | undefined;

  constructor(ports: VisitorPorts, config: PosternConfig) {
    const { driver, state, record, grantsOf, wallNow } = ports;
    this.#ports = ports;
    this.#config = config;
    const clocks = { monotonicNow: ports.monotonicNow, wallNow, after: ports.after };
    const longest = driver.longest ?? Number.POSITIVE_INFINITY;
    const common = { record, longest, ipv6Prefix: () => this.#config.firewall.ipv6Prefix, ...clocks };
    this.#bans = new TimedSources({
      ...common,
      rows: state.bans,
      put: (ban) => driver.ban(ban),
      take: (source) => driver.unban(source),
      words: { began: 'banned', ended: 'unbanned' },
    });
    this.#allowed = new TimedSources({
      ...common,
      rows: state.allowed,
      put: (allowed) => driver.allow(allowed),
      take: (source) => driver.disallow(source),
      words: { began: 'allowed', ended: 'disallowed' },
    });
    this.#strangers = new Strangers(
      {
        seed: ports.seed,
        bans: this.#bans,
        allowed: this.#allowed,
        grantsOf,
        hasSession: (source) => this.#hasSession(source),
        record,
        wallNow,
      },
      settingsOf(config),
    );
    const { monotonicNow, after } = ports;
    this.#tries =
      driver.tried &&
      new Tries({
        tried: async () => (await driver.tried?.()) ?? [],
        touch: (tried) => touchOf(tried, this.#config),
        hasSession: (source) => this.#hasSession({ address: source, length: family(source) === 4 ? 32 : 128 }),
        sighted: (sighting) => this.sighted(sighting),
        monotonicNow,
        after,
      });
  }

  configure(config: PosternConfig): void {
    this.#config = config;
    this.#sessions = undefined;
    this.#strangers.configure(settingsOf(config));
  }

  /** Once at start, when the guard stands; `stood`: it did before. */
  async reconcile({ bans, allowed }: Standing, stood: boolean): Promise<void> {
    await this.#bans.reconcile(bans, stood);
    await this.#allowed.reconcile(allowed, stood);
    await this.#strangers.settle();
    this.#tries?.start();
  }

  /** Ends bans and leaves of IPv6 networks. */
  async endNetworks(reason: string): Promise<void> {
    for (const sources of [this.#bans, this.#allowed]) await sources.endNetworks(reason);
  }

  /** After somebody else has emptied the kernel's tables. */
  async restore(): Promise<void> {
    await this.#allowed.restore();
    await this.#bans.restore();
  }

  release(): void {
    this.#tries?.stop();
    this.#strangers.release();
    this.#bans.release();
    this.#allowed.release();
  }

  sighted(sighting: Sighting): void {
    this.#strangers.sighted(sighting);
  }

  failed(source: Address, door: string, slow = false): void {
    this.#strangers.failed(source, door, slow);
  }

  denied(source: Address, door: string): void {
    this.#strangers.denied(source, door);
  }

  /** May this source's right knock open a door? */
  knocked(source: Address): Promise<boolean> {
    return this.#strangers.knocked(source);
  }

  /** For `status`. */
  standing(): Pick<Status, 'bans' | 'allowed' | 'would_be_banned'> {
    const show = (sources: TimedSources): readonly SourceStatus[] => sources.live().map((each) => this.#show(each));
    const { observed } = this.#strangers;
    const wouldBe = observed === undefined ? {} : { would_be_banned: observed };
    return { bans: show(this.#bans), allowed: show(this.#allowed), ...wouldBe };
  }

  /** The weightiest first. */
  strangers(most: number): readonly Stranger[] {
    return this.#strangers.list(most).map(({ source, since, last, ports, points, ...rest }) => ({
      ...rest,
      source: printAddress(source),
      ...prefixOf(source, this.#config.firewall.ipv6Prefix),
      since,
      last,
      ports: ports.map(printPort),
      points: Math.round(points * 10) / 10,
      banned: this.#bans.get(source) !== undefined,
      ...(this.#strangers.wouldBan(source) && { would_be_banned: true as const }),
    }));
  }

  async ban(text: string, duration: number | undefined, user: string | undefined): Promise<SourceStatus> {
    const source = this.#host(text);
    if (addressesOf('any', true).some((own) => sameAddress(own, source)))
      throw new Refusal(`Cannot ban ${text}: it is this machine itself`);
    const safe = await this.#strangers.safe(source);
    if (safe !== undefined) throw new Refusal(`Cannot ban ${text}: ${WHY_SAFE[safe]}`);
    return this.#put(this.#bans, source, duration, user);
  }

  async allow(text: string, duration: number | undefined, user: string | undefined): Promise<SourceStatus> {
    return this.#put(this.#allowed, readGuest(text, this.#config.firewall.ipv6Prefix), duration, user);
  }

  async unban(text: string, user: string | undefined): Promise<boolean> {
    return this.#end(this.#bans, this.#host(text), user);
  }

  async disallow(text: string, user: string | undefined): Promise<boolean> {
    return this.#end(this.#allowed, this.#host(text), user);
  }

  #host(text: string): Address {
    return readHost(text, this.#config.firewall.ipv6Prefix);
  }

  async #put(
    sources: TimedSources,
    source: Address,
    duration = USUAL_TIME,
    user: string | undefined,
  ): Promise<SourceStatus> {
    const cause = { via: 'hand', ...(user !== undefined && { user }), reason: '' } as const;
    return refused(async () => this.#show(await sources.put(source, duration, cause)));
  }

  #end(sources: TimedSources, source: Address, user: string | undefined): Promise<boolean> {
    return refused(() => sources.end(source, 'by hand', user));
  }

  #show({ source, until, via, user, reason }: LiveSource): SourceStatus {
    return {
      source: printAddress(source),
      ...prefixOf(source, this.#config.firewall.ipv6Prefix),
      remaining_ms: Math.max(0, Math.round(until - this.#ports.monotonicNow())),
      via,
      ...(user !== undefined && { user }),
      ...(reason !== '' && { reason }),
    };
  }

  /** Looked up for many sources at once: an attack asks for each. */
  async #hasSession(block: Prefix): Promise<boolean> {
    const now = this.#ports.monotonicNow();
    if (!this.#sessions || now - this.#sessions.at > SESSIONS_FRESH) {
      const ranges = this.#config.doors.flatMap((door) => door.protect).filter(({ protocol }) => protocol === 'tcp');
      const isGuarded = (port: number): boolean => ranges.some(({ first, last }) => first <= port && port <= last);
      const found = liveSessions(isGuarded, true, this.#config.tarpit?.port);
      const sources = found.then((sessions) => sessions.map(({ source }) => source));
      this.#sessions = { at: now, sources };
    }
    return (await this.#sessions.sources).some((source) => contains(block, source));
  }
}

const WHY_SAFE = {
  trusted: 'the configuration trusts it ("allow")',
  allowed: 'it may pass for a while (postern disallow ends that)',
  granted: 'a door is open for it (postern close ends that)',
  session: 'it has a session with a protected port (log it out first)',
  link: 'it is an address of the link, by which routers are reached',
} as const;

function settingsOf({ allow, doors, traps, ban, firewall, mode }: PosternConfig) {
  return { trusted: allow, doors, traps, ban, ipv6Prefix: firewall.ipv6Prefix, observe: mode === 'observe' };
}

async function refused<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof FirewallError) throw new Refusal(error.message);
    throw error;
  }
}
