/**
 * What is made of strangers: every trap, try and scan becomes an event and points; who has too many is banned, if bans are wanted at all.
 *
 * - Trusted sources are nobody's business. A source with a live grant, or with a session through a door, is never banned, nor is one
 *   that may pass for a while: anybody can send packets in its name.
 * - A right knock ends a ban that points brought about (the watcher sees packets before the firewall drops them); one that a person
 *   wanted stays, and the door stays shut.
 * - Another configuration judges anew those whom we know, one after another, so that doors have their turn between them.
 * - At most 10,000 sources are banned for their points at a time: forged sources fill no table.
 * - Where nothing is dropped, who would be banned is told.
 */

import type { BanSettings } from '../config/postern-config.ts';
import { type Address, isLinkLocal, printAddress } from '../core/address.ts';
import { type Attacker, Attackers, type Leak, type Verdict } from '../core/attackers.ts';
import type { HistoryEvent } from '../core/history.ts';
import type { HashSeed } from '../core/keyed-hash.ts';
import { blockOf, contains, type DoorPolicy, type PortRange, type Prefix } from '../core/policy.ts';
import type { PortName, Sighting } from '../core/sightings.ts';
import { ObservedBans } from './observed-bans.ts';
import type { TimedSources } from './timed-sources.ts';

/** What the configuration says of strangers. */
export interface StrangerSettings {
  readonly trusted: readonly Prefix[];
  readonly doors: readonly DoorPolicy[];
  readonly traps: readonly PortRange[];
  readonly ban: BanSettings;
  readonly ipv6Prefix: number;
  /** Nothing is dropped: a try at a door goes through, and is told as such. */
  readonly observe: boolean;
}

export interface StrangerPorts {
  readonly seed: HashSeed;
  readonly bans: TimedSources;
  readonly allowed: TimedSources;
  /** The doors that are open for a source. */
  readonly grantsOf: (source: Address) => readonly string[];
  /** Does the source have a session with a protected port? */
  readonly hasSession: (source: Prefix) => Promise<boolean>;
  readonly record: (event: HistoryEvent) => void;
  readonly wallNow: () => number;
}

const MOST_BANS = 10_000;
/** Points that count as many where none are said, for how fast they are forgotten. */
const USUAL_POINTS = 20;

/** Why a source can not be banned. */
export type Safe = 'trusted' | 'allowed' | 'granted' | 'session' | 'link';

export class Strangers {
  readonly #ports: StrangerPorts;
  readonly #attackers: Attackers;
  /** Verdicts that are not carried out yet, by source. */
  readonly #judging = new Map<string, Promise<boolean>>();
  readonly #observed = new ObservedBans(MOST_BANS);
  #settings: StrangerSettings;
  #full = false;
  /** Counts the configurations: another ends the judging that an earlier one has begun. */
  #round = 0;

  constructor(ports: StrangerPorts, settings: StrangerSettings) {
    this.#ports = ports;
    this.#settings = settings;
    this.#attackers = new Attackers({ seed: ports.seed }, leakOf(settings));
  }

  configure(settings: StrangerSettings): void {
    this.#settings = settings;
    this.#attackers.configure(leakOf(settings), this.#ports.wallNow());
    if (!settings.observe || settings.ban.after === undefined) this.#observed.clear();
    void this.#judgeAll();
  }

  /** Judges nobody any more of those whom it knows. */
  release(): void {
    this.#round++;
  }

  /** The weightiest first. */
  list(most: number): readonly Attacker[] {
    return this.#attackers.list(most, this.#ports.wallNow());
  }

  /** Would this source be banned, if anything were dropped? */
  wouldBan(source: Address): boolean {
    return this.#observed.has(source, this.#ports.wallNow());
  }

  /** How many would be; undefined where bans are no mere thought. */
  get observed(): number | undefined {
    return this.#settings.observe ? this.#observed.size(this.#ports.wallNow()) : undefined;
  }

  isTrusted(source: Address): boolean {
    return this.#settings.trusted.some((prefix) => contains(prefix, source));
  }

  sighted(sighting: Sighting): void {
    if (this.isTrusted(sighting.source) || this.#ports.allowed.get(sighting.source)) return;
    const source = this.#block(sighting.source).address;
    const open = this.#ports.grantsOf(source);
    // A door may have been tried before its grant began, or another door's port: that is no stranger's deed either.
    const closed = open.length > 0 ? 0 : sighting.closed;
    // Where nothing is left, nobody did anything: who came in through his door has no place among those who probe.
    if (sighting.traps + closed + sighting.unused === 0) return;
    const wallNow = this.#ports.wallNow();
    const verdict = this.#attackers.touched({ ...sighting, source, closed }, wallNow);
    this.#tell({ ...sighting, closed }, verdict);
    void this.#weigh(verdict.attacker);
  }

  /** A knock of this source's on a door has failed; `slow` when all that was wrong is the time it took. */
  failed(source: Address, door: string, slow = false): void {
    if (this.isTrusted(source) || this.#ports.allowed.get(source)) return;
    void this.#weigh(this.#attackers.failed(this.#block(source).address, door, this.#ports.wallNow(), slow).attacker);
  }

  /** It knocked right, and was not let in. */
  denied(source: Address, door: string): void {
    if (this.isTrusted(source) || this.#ports.allowed.get(source)) return;
    this.#attackers.denied(this.#block(source).address, door, this.#ports.wallNow());
  }

  /** May this source's right knock open a door? Ends what points have brought about. */
  async knocked(source: Address): Promise<boolean> {
    const { bans, record } = this.#ports;
    const place = this.#block(source).address;
    this.#attackers.forgive(place);
    this.#observed.end(place);
    // What it did just before must not ban it after its door is open.
    await this.#judging.get(printAddress(place));
    const ban = bans.get(source);
    if (!ban) return true;
    if (ban.via !== 'points') return false;
    try {
      await bans.end(source, 'a right knock');
    } catch (error) {
      record({ type: 'warned', source: printAddress(source), detail: (error as Error).message });
    }
    return true;
  }

  /** Once at start, when grants and bans are known: a keeper that died between the two may have left both. */
  async settle(): Promise<void> {
    const { bans, grantsOf } = this.#ports;
    for (const { source, via } of bans.live()) {
      if (via === 'points' && grantsOf(source).length > 0) await bans.end(source, 'a right knock');
    }
  }

  /** Why this source must not be banned; undefined when it may. */
  async safe(source: Address): Promise<Safe | undefined> {
    if (this.isTrusted(source)) return 'trusted';
    // A ban is for the network of 64 bits: all of the link, its router with it.
    if (isLinkLocal(source)) return 'link';
    if (this.#ports.allowed.get(source)) return 'allowed';
    const block = this.#block(source);
    if (this.#ports.grantsOf(block.address).length > 0) return 'granted';
    return (await this.#ports.hasSession(block)) ? 'session' : undefined;
  }

  /** Those who have had enough points when the configuration came; until there is another, or the firewall refuses. */
  async #judgeAll(): Promise<void> {
    const round = ++this.#round;
    const { after } = this.#settings.ban;
    if (after === undefined) return;
    for (const { source, points } of this.list(Number.POSITIVE_INFINITY)) {
      // It may have shown meanwhile that it knows the knock.
      const attacker = points >= after ? this.#attackers.get(source) : undefined;
      if (attacker && !(await this.#weigh(attacker))) return;
      if (round !== this.#round) return;
    }
  }

  /** False when the firewall has refused. */
  #weigh(attacker: Attacker): Promise<boolean> {
    const key = printAddress(attacker.source);
    const verdict: Promise<boolean> = Promise.all([this.#judging.get(key), this.#judge(attacker)]).then(([, done]) => {
      if (this.#judging.get(key) === verdict) this.#judging.delete(key);
      return done;
    });
    this.#judging.set(key, verdict);
    return verdict;
  }

  async #judge(attacker: Attacker): Promise<boolean> {
    const { bans, record } = this.#ports;
    const { after, duration } = this.#settings.ban;
    if (after === undefined || attacker.points < after) return true;
    if (this.#settings.observe) return this.#observe(attacker);
    const { source } = attacker;
    const { points } = attacker;
    // Paid: what comes after this counts anew.
    this.#attackers.forgive(source);
    if (bans.size >= MOST_BANS && !bans.get(source)) {
      if (!this.#full) record({ type: 'warned', detail: `${MOST_BANS} sources are banned: no more are, for now` });
      this.#full = true;
      return true;
    }
    this.#full = false;
    const standing = bans.get(source);
    if (standing && standing.via !== 'points') return true;
    try {
      if ((await this.safe(source)) !== undefined) return true;
      await bans.put(source, duration, { via: 'points', reason: `${Math.floor(points)} points` });
      // It may have knocked right, or been allowed, meanwhile.
      if ((await this.safe(source)) !== undefined) await bans.end(source, 'a right knock');
      return true;
    } catch (error) {
      record({ type: 'warned', source: printAddress(source), detail: (error as Error).message });
      return false;
    }
  }

  /** Says who would be banned now. */
  async #observe({ source, points }: Attacker): Promise<true> {
    const { bans, record, wallNow } = this.#ports;
    const { duration } = this.#settings.ban;
    const known = (): boolean => bans.get(source) !== undefined || this.#observed.has(source, wallNow());
    if (known() || (await this.safe(source)) !== undefined || known()) return true;
    if (!this.#observed.begin(source, duration, wallNow())) return true;
    const detail = `${Math.floor(points)} points, for ${Math.ceil(duration / 1000)} s`;
    record({ type: 'banned', source: printAddress(source), via: 'points', reason: 'observed', detail });
    return true;
  }

  /** Every different trap and protected port is an event of its own, as far as the sighting names them. */
  #tell({ traps, closed, ports }: Sighting, { attacker, scanned }: Verdict): void {
    const { record } = this.#ports;
    const source = printAddress(attacker.source);
    const touched = traps > 0 ? ports.filter((port) => isIn(this.#settings.traps, port)) : [];
    // Of a trap that a reload has just taken away: the first, since traps come first.
    const trapped = traps > 0 && touched.length === 0 ? ports.slice(0, 1) : touched;
    for (const port of trapped) record({ type: 'trapped', source, reason: printPort(port) });
    for (const port of closed > 0 ? ports : []) {
      const door = trapped.includes(port) ? undefined : this.#doorOf(port);
      const reason = this.#settings.observe ? 'observed' : 'no grant';
      if (door !== undefined) record({ type: 'refused', door, source, reason, detail: printPort(port) });
    }
    if (scanned) record({ type: 'scanned', source, reason: `${attacker.distinct} ports` });
  }

  #doorOf(port: PortName): string | undefined {
    return this.#settings.doors.find(({ protect }) => isIn(protect, port))?.name;
  }

  #block(source: Address): Prefix {
    return blockOf(source, this.#settings.ipv6Prefix);
  }
}

function isIn(ranges: readonly PortRange[], { protocol, port }: PortName): boolean {
  return ranges.some((range) => range.protocol === protocol && range.first <= port && port <= range.last);
}

export function printPort({ protocol, port }: PortName): string {
  return `${protocol}/${port}`;
}

function leakOf({ ban }: StrangerSettings): Leak {
  return { limit: ban.after ?? USUAL_POINTS, within: ban.within };
}
