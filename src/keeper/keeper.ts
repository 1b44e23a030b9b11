/**
 * The privileged half: owns the doors and the packet sockets, and trusts the watcher with nothing but the knock itself.
 *
 * A proposal counts only if its door exists in the present configuration, was knocked under the door's present revision, comes
 * from an address a host can have, of a family that is watched, and does not come too often. A one-time sequence is marked as
 * used before its door opens. What opening means is the port's: commands, or a firewall.
 */

import { DEFAULT_STRAYS, lowerStrays } from '../config/strays.ts';
import { type Address, family, isHost } from '../core/address.ts';
import { Allowance } from '../core/allowance.ts';
import type { Door, Step } from '../core/door.ts';
import type { KnockEvent } from '../core/events.ts';
import type { Counts, News, Order, WatchedPorts } from '../core/messages.ts';
import type { PortRange } from '../core/policy.ts';
import type { Sighting } from '../core/sightings.ts';
import type { CaptureSockets } from './capture-sockets.ts';
import type { KeeperEvent } from './events.ts';

/** What the keeper has to know of a door, whatever kind it is. */
export interface KnockedDoor {
  readonly name: string;
  readonly knock: Door;
  /** The sequence in force comes from a file of sequences that are good once. */
  readonly oneTime?: { readonly path: string; readonly offset: number };
}

/** A sequence in a one-time file, and where its line begins. */
interface OneTimeSequence {
  readonly offset: number;
  readonly steps: readonly Step[];
}

/** `good` is false for a sequence that was used before: the door must not open. None is left without `next`. */
interface SpentSequence {
  readonly good: boolean;
  readonly next: OneTimeSequence | undefined;
}

export interface KeeperPorts<D extends KnockedDoor> {
  readonly tell: (event: KeeperEvent) => void;
  /** The door was knocked on as it should be. */
  readonly open: (door: D, source: Address) => void;
  /** To the watcher, if there is one. */
  readonly send: (order: Order) => void;
  /** Absent when packets do not come from sockets of ours: a capture file, a capture program. */
  readonly sockets: Pick<CaptureSockets, 'addresses' | 'refilter' | 'refresh'> | undefined;
  /** The addresses that count when there are no sockets that know them. */
  readonly addresses: () => readonly Address[] | 'any';
  /** The ports whose traffic knocks nowhere. */
  readonly publicPorts: () => readonly number[];
  /** The ports whose visitors are told of; nobody's without. */
  readonly watched?: (() => WatchedPorts) | undefined;
  /** Marks a used one-time sequence on disk and returns the next one. */
  readonly spendOneTime: (path: string, used: OneTimeSequence) => SpentSequence;
  readonly monotonicNow: () => number;
  /** A capture file is at its end, or the capture failed. */
  readonly ended: (reason: string | undefined) => void;
}

/** Openings one door may make: far more than people knock, far less than a captured watcher would like. */
const OPENINGS = { perSecond: 20, burst: 200 };
/** Everything else that becomes a line: a good deal more than an honest watcher says (`watcher/watch.ts`). */
const LINES = { perSecond: 1500, burst: 12_000 };
const LOSS_TOLD_EVERY = 60_000;
/** Strangers told of: more than an honest watcher tells (`core/sightings.ts`, twice a second). */
const SIGHTINGS = { perSecond: 200, burst: 1000 };
const NO_COUNTS: Counts = { received: 0, lost: 0, drops: {}, suppressed: 0, attempts: 0, sighted: 0, strangers: 0 };

interface Kept<D> {
  door: D;
  revision: number;
  readonly openings: Allowance;
  flooded: boolean;
}

export class Keeper<D extends KnockedDoor> {
  readonly #ports: KeeperPorts<D>;
  readonly #ipv6: boolean;
  readonly #packets: boolean;
  #doors: readonly Kept<D>[] = [];
  #revision = 0;
  #publicPorts: readonly number[];
  #filterKept: string | undefined;
  readonly #replay: boolean;
  readonly #lines: Allowance | undefined;
  readonly #sightings = new Allowance(SIGHTINGS);
  #expectsReady = true;
  #confinement = '';
  #counts = NO_COUNTS;
  #lossTold = Number.NEGATIVE_INFINITY;

  /** The time in a capture file runs faster than the clock: a `replay` is not held to so many lines a second. */
  constructor(
    ports: KeeperPorts<D>,
    options: { readonly ipv6: boolean; readonly packets: boolean; readonly replay?: boolean },
  ) {
    this.#ports = ports;
    this.#ipv6 = options.ipv6;
    this.#packets = options.packets;
    this.#replay = options.replay ?? false;
    this.#lines = this.#replay ? undefined : new Allowance(LINES);
    this.#publicPorts = ports.publicPorts();
  }

  /** What was captured, lost and dropped, as last reported. */
  get counts(): Counts {
    return this.#counts;
  }

  /** Puts a configuration in force: at start and on every successful reload. */
  configure(doors: readonly D[]): void {
    // Doors that are knocked on as before keep their revision, so that a knock completed at this very moment still counts.
    const same = knocks(doors) === knocks(this.#doors.map((kept) => kept.door));
    const revision = same ? this.#revision : ++this.#revision;
    this.#doors = doors.map((door, index) => ({
      door,
      revision: (same && this.#doors[index]?.revision) || revision,
      openings: new Allowance(OPENINGS),
      flooded: false,
    }));
    this.#refilter();
    this.instruct();
  }

  /** A watcher has just started. */
  greet(): void {
    this.#expectsReady = true;
    this.instruct();
  }

  /** Tells the watcher everything it has to know; it has just started, or something changed. */
  instruct(): void {
    this.#ports.send({
      type: 'configure',
      doors: this.#doors.map((kept) => kept.door.knock),
      revisions: this.#doors.map((kept) => kept.revision),
      addresses: this.#ports.sockets?.addresses ?? this.#ports.addresses(),
      publicPorts: this.#publicPorts,
      ipv6: this.#ipv6,
      packets: this.#packets,
      ...this.#watched(),
    });
  }

  /** Something happened to links or addresses. */
  networkChanged(): void {
    const { sockets, tell } = this.#ports;
    if (!sockets) return;
    const { lost, back, readdressed, failed } = sockets.refresh();
    this.#filtered(failed);
    for (const name of lost) tell({ type: 'interface-lost', name });
    for (const name of back) tell({ type: 'interface-back', name });
    if (readdressed) this.#ports.send({ type: 'addresses', addresses: sockets.addresses });
  }

  /** Looks anew which ports have a listener. */
  refreshPublicPorts(): void {
    const ports = this.#ports.publicPorts();
    if (ports.join() === this.#publicPorts.join()) return;
    this.#publicPorts = ports;
    this.#refilter();
    this.#ports.send({ type: 'public-ports', publicPorts: ports });
  }

  hear(report: News): void {
    const { tell, ended } = this.#ports;
    switch (report.type) {
      case 'ready': {
        if (!this.#expectsReady) return;
        this.#expectsReady = false;
        const text = JSON.stringify(report.confinement);
        tell({ type: 'confined', confinement: report.confinement, changed: text !== this.#confinement });
        this.#confinement = text;
        return;
      }
      case 'knock':
        this.#judge(report.revision, report.event);
        if (this.#replay && report.event.type === 'opened') this.#ports.send({ type: 'read-on' });
        return;
      case 'packet':
        if (this.#packets && this.#mayTell()) tell({ type: 'packet', packet: report });
        return;
      case 'sighted':
        return this.#sight(report.sighting);
      case 'counts':
        return this.#count(report.counts);
      case 'ended':
        return ended(undefined);
      case 'failed':
        return ended(report.reason);
    }
  }

  #judge(revision: number, event: KnockEvent): void {
    const kept = this.#doors[event.door];
    if (!kept || kept.revision !== revision) return;
    const { source } = event;
    if (!isHost(source) || (family(source) === 6 && !this.#ipv6)) return;
    if (event.type === 'opened') this.#open(event.door, kept, source);
    else if (this.#mayTell()) this.#ports.tell({ ...event, door: kept.door.name });
  }

  #sight(sighting: Sighting): void {
    const { source } = sighting;
    if (!isHost(source) || (family(source) === 6 && !this.#ipv6)) return;
    if (this.#sightings.take(this.#ports.monotonicNow())) this.#ports.tell({ type: 'sighted', sighting });
  }

  #watched(): { readonly watched?: WatchedPorts } {
    const watched = this.#ports.watched?.();
    return watched === undefined ? {} : { watched };
  }

  /** A captured watcher is not to fill the disk with lines; what it says beyond the allowance is dropped. */
  #mayTell(): boolean {
    return this.#lines?.take(this.#ports.monotonicNow()) ?? true;
  }

  #open(index: number, kept: Kept<D>, source: Address): void {
    const { door } = kept;
    if (!kept.openings.take(this.#ports.monotonicNow())) {
      if (!kept.flooded) this.#ports.tell({ type: 'flooded', door: door.name });
      kept.flooded = true;
      return;
    }
    // Told again only after a calm, not with every opening that trickles through.
    if (kept.openings.left > OPENINGS.burst / 2) kept.flooded = false;
    this.#ports.tell({ type: 'knocked', door: door.name, source });
    if (door.oneTime && !this.#spend(index, kept, door.oneTime)) return;
    this.#ports.open(door, source);
  }

  /** Marks the sequence that has just been used and brings the next one into force; false when the door must not open. */
  #spend(index: number, kept: Kept<D>, oneTime: { readonly path: string; readonly offset: number }): boolean {
    const { door } = kept;
    let spent: SpentSequence | undefined;
    try {
      spent = this.#ports.spendOneTime(oneTime.path, { offset: oneTime.offset, steps: door.knock.steps });
    } catch {
      // It is told below, and the door is shut.
    }
    const next = spent?.next;
    const steps = next?.steps ?? [];
    const knock: Door = { ...door.knock, steps, strays: lowerStrays(steps, DEFAULT_STRAYS) };
    kept.door = { ...door, knock, oneTime: { path: oneTime.path, offset: next?.offset ?? 0 } };
    kept.revision = ++this.#revision;
    if (spent?.good === false) this.#ports.tell({ type: 'replayed', door: door.name });
    this.#ports.tell(
      spent ? { type: 'spent', door: door.name, next: next?.steps } : { type: 'unmarked', door: door.name },
    );
    this.#refilter();
    this.#sendDoor(index, kept);
    return spent?.good === true;
  }

  #sendDoor(index: number, kept: Kept<D>): void {
    this.#ports.send({ type: 'door', revision: kept.revision, index, door: kept.door.knock });
  }

  #refilter(): void {
    const input = {
      doors: this.#doors.map((kept) => kept.door.knock),
      publicPorts: this.#publicPorts,
      watched: watchedRanges(this.#ports.watched?.()),
      ipv6: this.#ipv6,
    };
    this.#filtered(this.#ports.sockets?.refilter(input));
  }

  #filtered(failed: string | undefined): void {
    if (failed !== undefined && failed !== this.#filterKept) this.#ports.tell({ type: 'filter-kept', reason: failed });
    this.#filterKept = failed;
  }

  #count(counts: Counts): void {
    const now = this.#ports.monotonicNow();
    const lost = counts.lost - this.#counts.lost;
    if (lost > 0 && now - this.#lossTold >= LOSS_TOLD_EVERY) {
      this.#ports.tell({ type: 'lost', packets: lost });
      this.#lossTold = now;
    }
    this.#counts = counts;
  }
}

function watchedRanges(watched: WatchedPorts | undefined): readonly PortRange[] | undefined {
  return watched && [...watched.traps, ...watched.closed];
}

function knocks(doors: readonly KnockedDoor[]): string {
  return JSON.stringify(doors.map((door) => door.knock));
}
