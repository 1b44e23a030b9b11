/**
 * Reports on their way to the keeper: openings at once, what is only to be written down gathered. When the keeper is busy, only
 * openings are still taken, and of those no more than a door may have: the watcher must not grow.
 */

import { Allowance } from '../core/allowance.ts';
import { encodeReport, type Report } from '../core/messages.ts';

export interface OutboxPorts {
  readonly write: (text: string) => void;
  /** Characters written that the keeper has not read. */
  readonly unread: () => number;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

/** More than this many unsent characters, and only openings are still reported. */
const BACKLOG = 1024 * 1024;
/** Waking the keeper for each line costs more than the line. */
const GATHER = 20;
/** What is only to be written down, and may come in numbers. */
const GATHERED: ReadonlySet<Report['type']> = new Set(['knock', 'packet', 'sighted']);
/** Openings of one door: more than the keeper lets through, so that it knows of a flood. */
const OPENINGS = { perSecond: 40, burst: 400 };

export class Outbox {
  readonly #ports: OutboxPorts;
  readonly #openings = new Map<number, Allowance>();
  #waiting = '';
  #cancel: (() => void) | undefined;

  constructor(ports: OutboxPorts) {
    this.#ports = ports;
  }

  /** Takes a report; false when it is dropped. */
  send(report: Report): boolean {
    const opened = report.type === 'knock' && report.event.type === 'opened';
    if (opened && !this.#mayOpen(report.event.door)) return false;
    if (!opened && this.#ports.unread() + this.#waiting.length > BACKLOG) return false;
    this.#waiting += encodeReport(report);
    if (opened || !GATHERED.has(report.type)) this.#flush();
    else this.#cancel ??= this.#ports.after(GATHER, () => this.#flush());
    return true;
  }

  /** There are as many allowances as doors in the largest configuration so far. */
  #mayOpen(door: number): boolean {
    let openings = this.#openings.get(door);
    if (!openings) {
      openings = new Allowance(OPENINGS);
      this.#openings.set(door, openings);
    }
    return openings.take(this.#ports.monotonicNow());
  }

  #flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#ports.write(this.#waiting);
    this.#waiting = '';
  }
}
