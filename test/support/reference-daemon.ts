/**
 * Who is in, and until when, said in the most obvious way: what the daemon has to come to, whatever happens to it. Knocks are `ReferenceEngine`'s
 * business; what opens a door here is that engine's word or somebody's hand.
 */

import { type Address, printAddress } from '../../src/core/address.ts';
import type { Packet } from '../../src/core/packet.ts';
import { admits, type DoorPolicy } from '../../src/core/policy.ts';
import type { ManualClock } from './manual-clock.ts';
import { ReferenceEngine } from './reference-engine.ts';

interface Entry {
  /** '' of a ban. */
  readonly door: string;
  readonly until: number;
  /** As it is written down: wall time, and the length that it is bounded by when clocks have been set. */
  readonly wallUntil: number;
  readonly longest: number;
}

export interface ReferenceSettings {
  readonly doors: readonly DoorPolicy[];
  readonly local: readonly Address[];
  readonly publicPorts: readonly number[];
  /** What a firewall keeps a source by: the first address of its network. */
  readonly networkOf: (source: string) => string;
}

export class ReferenceDaemon {
  readonly in = new Map<string, Entry>();
  readonly banned = new Map<string, Entry>();
  /** Who has ever knocked right on a door, or was let in by hand, whatever came of it. */
  readonly called = new Set<string>();
  readonly #clock: ManualClock;
  readonly #settings: ReferenceSettings;
  #doors: readonly DoorPolicy[];
  #engine: ReferenceEngine;

  constructor(clock: ManualClock, settings: ReferenceSettings) {
    this.#clock = clock;
    this.#settings = settings;
    this.#doors = settings.doors;
    this.#engine = this.#newEngine();
  }

  place(source: Address): string {
    return this.#settings.networkOf(printAddress(source));
  }

  isGranted(place: string): boolean {
    return this.#doors.some(({ name }) => this.in.has(`${name} ${place}`));
  }

  packet(packet: Packet, refusing: boolean): void {
    for (const event of this.#engine.packet(packet, this.#clock.monotonicNow())) {
      if (event.type === 'opened') this.#knocked(this.#knockable[event.door]!, event.source, refusing);
    }
  }

  hand(door: string, source: Address, duration: number, refusing: boolean): void {
    this.called.add(`${door} ${this.place(source)}`);
    const known = this.#doors.some(({ name }) => name === door);
    if (known && !refusing && !this.banned.has(this.place(source))) this.#put(door, source, duration);
  }

  close(door: string, source: Address): void {
    this.in.delete(`${door} ${this.place(source)}`);
  }

  ban(source: Address, duration: number): void {
    const place = this.place(source);
    if (!this.isGranted(place)) this.banned.set(place, this.#entry('', duration));
  }

  unban(source: Address): void {
    this.banned.delete(this.place(source));
  }

  /** Time has passed. */
  expire(): void {
    const now = this.#clock.monotonicNow();
    this.#engine.expire(now);
    for (const entries of [this.in, this.banned]) {
      for (const [key, { until }] of entries) if (until <= now) entries.delete(key);
    }
  }

  reload(doors: readonly DoorPolicy[]): void {
    const before = JSON.stringify(this.#knockable.map(({ knock }) => knock));
    this.#doors = doors;
    for (const [key, { door }] of this.in) if (!doors.some(({ name }) => name === door)) this.in.delete(key);
    if (JSON.stringify(this.#knockable.map(({ knock }) => knock)) !== before) this.#engine = this.#newEngine();
  }

  watcherDied(): void {
    this.#engine = this.#newEngine();
  }

  /**
   * The keeper is started anew. `stood`: the firewall has lost nothing; `keepsTime`: and has ended by itself what was over. What the firewall does
   * not know is in the state; a ban ends by whichever of the two is sooner.
   */
  restarted(stood: boolean, keepsTime: boolean): void {
    this.#engine = this.#newEngine();
    if (stood && keepsTime) this.expire();
    const [now, wall] = [this.#clock.monotonicNow(), this.#clock.wallNow()];
    for (const entries of [this.in, this.banned]) {
      for (const [key, entry] of entries) {
        const written = Math.max(0, Math.min(entry.wallUntil - wall, entry.longest));
        const kept = stood && keepsTime ? entry.until - now : written;
        const left = entries === this.in ? kept : Math.min(kept, written);
        if (left <= 0) entries.delete(key);
        else entries.set(key, this.#entry(entry.door, left));
      }
    }
  }

  get #knockable(): readonly DoorPolicy[] {
    return this.#doors.filter(({ knock }) => knock !== undefined);
  }

  #knocked(door: DoorPolicy, source: Address, refusing: boolean): void {
    const place = this.place(source);
    this.called.add(`${door.name} ${place}`);
    if (this.banned.has(place) || !admits(door, source)) return;
    const entry = this.in.get(`${door.name} ${place}`);
    const inside = [...this.in.values()].filter((each) => each.door === door.name).length;
    if (entry ? !door.renew : inside >= (door.limit ?? Number.POSITIVE_INFINITY)) return;
    if (entry && entry.until - this.#clock.monotonicNow() >= door.openFor) return;
    if (!refusing) this.#put(door.name, source, door.openFor);
  }

  #put(door: string, source: Address, duration: number): void {
    this.in.set(`${door} ${this.place(source)}`, this.#entry(door, duration));
  }

  #entry(door: string, longest: number): Entry {
    const [now, wall] = [this.#clock.monotonicNow(), this.#clock.wallNow()];
    return { door, until: now + longest, wallUntil: wall + longest, longest };
  }

  #newEngine(): ReferenceEngine {
    const knocks = this.#knockable.map(({ knock }) => knock!);
    const engine = new ReferenceEngine(knocks, { capacity: 1000 });
    engine.setLocalAddresses(this.#settings.local);
    engine.setPublicPorts(this.#settings.publicPorts);
    return engine;
  }
}
