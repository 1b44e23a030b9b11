/**
 * The privileged half: owns doors, commands and the packet sockets, and trusts the watcher with nothing but the knock itself.
 *
 * A proposal counts only if its door exists in the present configuration, was knocked under the door's present revision, comes
 * from an address a host can have, of a family that is watched, and does not come too often. A one-time sequence is marked as
 * used before its door opens. A reload that fails changes nothing.
 */

import { DEFAULT_STRAYS, lowerStrays } from '../config/strays.ts';
import { type Address, family, isHost, printAddress } from '../core/address.ts';
import { Allowance } from '../core/allowance.ts';
import { type Door, printSteps, type Step } from '../core/door.ts';
import type { KnockEvent } from '../core/events.ts';
import type { Confinement, Counts, Report } from '../core/messages.ts';
import type { CaptureSockets } from './capture-sockets.ts';
import type { Journal } from './journal.ts';
import type { Names } from './names.ts';
import type { OpenableDoor, Openings } from './openings.ts';
import type { WatcherProcess } from './watcher-process.ts';

export interface GuardedDoor extends OpenableDoor {
  readonly knock: Door;
  /** The sequence in force comes from a file of sequences that are good once. */
  readonly oneTime?: { readonly path: string; readonly offset: number };
}

export interface KeeperPorts {
  readonly journal: Journal;
  readonly names: Names;
  readonly openings: Openings;
  /** Absent when packets do not come from sockets of ours: a capture file, a capture program. */
  readonly sockets: CaptureSockets | undefined;
  /** The addresses that count when there are no sockets that know them. */
  readonly addresses: () => readonly Address[] | 'any';
  readonly listeningPorts: () => readonly number[];
  /** Marks a used one-time sequence on disk and returns the next one. */
  readonly spendOneTime: (
    path: string,
    used: { readonly offset: number; readonly steps: readonly Step[] },
  ) => { readonly offset: number; readonly steps: readonly Step[] } | undefined;
  readonly monotonicNow: () => number;
  /** A capture file is at its end, or the capture failed. */
  readonly ended: (reason: string | undefined) => void;
  /** The watcher is confined and has its orders. */
  readonly ready: () => void;
}

/** Openings one door may make: far more than people knock, far less than a captured watcher would like. */
const OPENINGS = { perSecond: 20, burst: 200 };
const LOSS_REPORT_EVERY = 60_000;

interface Kept {
  door: GuardedDoor;
  revision: number;
  readonly openings: Allowance;
  refused: boolean;
}

export class Keeper {
  readonly #ports: KeeperPorts;
  readonly #ipv6: boolean;
  readonly #packets: boolean;
  #doors: readonly Kept[] = [];
  #revision = 0;
  #watcher: WatcherProcess | undefined;
  #publicPorts: readonly number[];
  #confinement = '';
  #lost = 0;
  #counts: Counts | undefined;
  #lossReported = Number.NEGATIVE_INFINITY;

  constructor(ports: KeeperPorts, options: { readonly ipv6: boolean; readonly packets: boolean }) {
    this.#ports = ports;
    this.#ipv6 = options.ipv6;
    this.#packets = options.packets;
    this.#publicPorts = ports.listeningPorts();
  }

  /** The watcher that proposals come from; it is configured when it starts. */
  employ(watcher: WatcherProcess): void {
    this.#watcher = watcher;
  }

  /** Puts a configuration in force: at start and on every successful reload. */
  configure(doors: readonly GuardedDoor[]): void {
    // Doors that are knocked on as before keep their revision, so that a knock completed at this very moment still counts.
    const same = knocks(doors) === knocks(this.#doors.map((kept) => kept.door));
    const revision = same ? this.#revision : ++this.#revision;
    this.#doors = doors.map((door, index) => ({
      door,
      revision: (same && this.#doors[index]?.revision) || revision,
      openings: new Allowance(OPENINGS),
      refused: false,
    }));
    this.#refilter();
    this.instruct();
  }

  /** Tells the watcher everything it has to know; it has just started, or something changed. */
  instruct(): void {
    this.#watcher?.send({
      type: 'configure',
      revision: this.#revision,
      doors: this.#doors.map((kept) => kept.door.knock),
      addresses: this.#ports.sockets?.addresses ?? this.#ports.addresses(),
      ipv6: this.#ipv6,
      packets: this.#packets,
    });
    for (const [index, kept] of this.#doors.entries()) {
      if (kept.revision !== this.#revision) this.#sendDoor(index, kept);
    }
  }

  /** Something happened to links or addresses. */
  networkChanged(): void {
    const { sockets, journal } = this.#ports;
    if (!sockets) return;
    const { lost, back, readdressed } = sockets.refresh();
    for (const name of lost) journal.event(`interface ${name} disappeared, waiting for it to come back`);
    for (const name of back) journal.event(`interface ${name} is back`);
    if (readdressed) this.#watcher?.send({ type: 'addresses', addresses: sockets.addresses });
  }

  /** Looks anew which ports have a listener. */
  refreshPublicPorts(): void {
    const ports = this.#ports.listeningPorts();
    if (ports.join() === this.#publicPorts.join()) return;
    this.#publicPorts = ports;
    this.#refilter();
  }

  hear(report: Report): void {
    const { journal } = this.#ports;
    switch (report.type) {
      case 'ready':
        return this.#confined(report.confinement);
      case 'knock':
        return this.#judge(report.revision, report.event);
      case 'packet':
        return journal.debug(
          `${stamp(new Date(report.time))}: ${report.protocol}: ${report.from} -> ${report.to} ${report.length} bytes`,
        );
      case 'counts':
        return this.#count(report.counts);
      case 'ended':
        return this.#ports.ended(undefined);
      case 'failed':
        return this.#ports.ended(report.reason);
    }
  }

  #confined(confinement: Confinement): void {
    const { journal } = this.#ports;
    const { landlock, seccomp, uid, notes } = confinement;
    const text = JSON.stringify(confinement);
    journal.debug(
      `watcher: user ${uid}, landlock ${landlock === undefined ? 'off' : `ABI ${landlock}`}, seccomp ${seccomp ? 'on' : 'off'}`,
    );
    if (text !== this.#confinement) for (const note of notes) journal.event(`watcher: ${note}`);
    this.#confinement = text;
    this.#ports.ready();
  }

  #judge(revision: number, event: KnockEvent): void {
    const { journal, names } = this.#ports;
    const kept = this.#doors[event.door];
    if (!kept || kept.revision !== revision) return;
    const { source } = event;
    if (!isHost(source) || (family(source) === 6 && !this.#ipv6)) return;
    const { name } = kept.door;
    switch (event.type) {
      case 'advanced':
        return names.withLabel(source, (who) => journal.event(`${who}: ${name}: Stage ${event.stage}`));
      case 'expired':
        return names.withLabel(source, (who) =>
          journal.event(`${who}: ${name}: sequence timeout (stage ${event.stage})`, true),
        );
      case 'failed':
        return journal.debug(`removing failed knock attempt (${printAddress(source)})`);
      case 'opened':
        return this.#open(event.door, kept, source);
    }
  }

  #open(index: number, kept: Kept, source: Address): void {
    const { journal, names, openings } = this.#ports;
    const { door } = kept;
    if (!kept.openings.take(this.#ports.monotonicNow())) {
      if (!kept.refused) journal.error(`${door.name}: opened too often, further knocks are refused for a while`);
      kept.refused = true;
      return;
    }
    kept.refused = false;
    names.withLabel(source, (who) => journal.event(`${who}: ${door.name}: OPEN SESAME`));
    if (door.oneTime && !this.#spend(index, kept, door.oneTime)) return;
    openings.open(door, source);
  }

  /** Marks the sequence that has just been used and brings the next one into force; false when it could not be marked. */
  #spend(index: number, kept: Kept, oneTime: { readonly path: string; readonly offset: number }): boolean {
    const { journal } = this.#ports;
    const { door } = kept;
    let next: { readonly offset: number; readonly steps: readonly Step[] } | undefined;
    let marked = true;
    try {
      next = this.#ports.spendOneTime(oneTime.path, { offset: oneTime.offset, steps: door.knock.steps });
    } catch {
      marked = false;
      journal.error(`error while disabling used one time sequence for door ${door.name} --> disabling the door`, true);
    }
    if (marked && !next) {
      journal.error(
        `no more sequences left in the one time sequences file for door ${door.name} --> disabling the door`,
        true,
      );
    }
    const steps = next?.steps ?? [];
    const knock: Door = { ...door.knock, steps, strays: lowerStrays(steps, DEFAULT_STRAYS) };
    kept.door = { ...door, knock, oneTime: { path: oneTime.path, offset: next?.offset ?? 0 } };
    kept.revision = ++this.#revision;
    if (next) {
      journal.debug(`new sequence for door ${door.name}: ${printSteps(knock.steps)}`);
    }
    this.#refilter();
    this.#sendDoor(index, kept);
    return marked;
  }

  #sendDoor(index: number, kept: Kept): void {
    this.#watcher?.send({ type: 'door', revision: kept.revision, index, door: kept.door.knock });
  }

  #refilter(): void {
    this.#ports.sockets?.refilter({
      doors: this.#doors.map((kept) => kept.door.knock),
      publicPorts: this.#publicPorts,
      ipv6: this.#ipv6,
    });
  }

  /** Writes down what was captured, lost and dropped so far. */
  logCounts(): void {
    const { received = 0, lost = 0, drops = {}, suppressed = 0, attempts = 0 } = this.#counts ?? {};
    const reasons = Object.entries(drops).map(([reason, count]) => `, ${count} dropped (${reason})`);
    this.#ports.journal.event(
      `${received} packets, ${lost} lost${reasons.join('')}, ${attempts} attempts, ${suppressed} lines suppressed`,
    );
  }

  #count(counts: Counts): void {
    const now = this.#ports.monotonicNow();
    if (counts.lost > this.#lost && now - this.#lossReported >= LOSS_REPORT_EVERY) {
      this.#ports.journal.event(`${counts.lost - this.#lost} packets were lost because the capture ring was full`);
      this.#lossReported = now;
    }
    this.#lost = counts.lost;
    this.#counts = counts;
  }
}

function knocks(doors: readonly GuardedDoor[]): string {
  return JSON.stringify(doors.map((door) => door.knock));
}

function stamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
