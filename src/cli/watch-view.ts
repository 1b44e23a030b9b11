/**
 * What `postern watch` knows, and the lines that it shows of it: doors first, then who may pass them, who probes, knocks on the way, and what
 * happened last.
 */

import type { WireStatus } from '../control/client.ts';
import type { WireEntry, WireEvent, WireStage, WireStranger } from '../control/wire-event.ts';
import { LogLines } from './log-lines.ts';
import {
  describeDoors,
  describeObserving,
  describeSources,
  describeTrial,
  describeWarnings,
  describeWatcher,
} from './status.ts';
import type { Paint } from './terminal.ts';
import { describeProbing } from './watch-strangers.ts';
import { alignColumns, clockTime, count, cutTo, harmless, isRecent, localTime, timeLeft, widthOf } from './wording.ts';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Knocks and events that are kept, more than any window shows. */
const MOST_KNOCKS = 100;
const MOST_EVENTS = 200;
/** Events of the past that are worth asking for. */
export const RECALLED = MOST_EVENTS / 2;
/** A knock of which nothing more is heard is shown for so long. */
const KNOCK_SHOWN = 60_000;
/** The events that end an attempt. */
const ENDINGS = new Set(['opened', 'renewed', 'failed', 'denied']);

export class WatchView {
  readonly #paint: Paint;
  readonly #knocks = new Map<string, { readonly stage: WireStage; readonly heard: number }>();
  #events: WireEvent[] = [];
  /** The latest that was told of as past: what is no later is not told again. */
  #last = 0;
  #status: { readonly value: WireStatus; readonly heard: number } | undefined;
  #strangers: readonly WireStranger[] = [];
  #trouble: string | undefined;

  constructor(paint: Paint) {
    this.#paint = paint;
  }

  /** Times are monotonic milliseconds. */
  hearStatus(value: WireStatus, now: number): void {
    this.#status = { value, heard: now };
    this.#trouble = undefined;
  }

  /** The worst first. */
  hearStrangers(strangers: readonly WireStranger[]): void {
    this.#strangers = strangers;
  }

  /** What happened until a connection began, oldest first; an earlier connection may have told of some of it. */
  hearPast(entries: readonly WireEntry[]): void {
    const known = new Set(this.#events.map(nameOf));
    const from = entries.findLastIndex((entry) => known.has(nameOf(entry))) + 1;
    this.#last = 0;
    for (const entry of entries.slice(from)) this.#remember(entry);
    this.#last = entries.at(-1)?.id ?? 0;
  }

  hearEvent(event: WireEvent, now: number): void {
    if (event.type === 'skipped') return this.#remember(event);
    const key = `${event.door} ${event.source}`;
    if (event.type === 'stage') {
      this.#knocks.delete(key);
      this.#knocks.set(key, { stage: event, heard: now });
      const [oldest] = this.#knocks.keys();
      if (this.#knocks.size > MOST_KNOCKS && oldest !== undefined) this.#knocks.delete(oldest);
      return;
    }
    if (ENDINGS.has(event.type)) this.#knocks.delete(key);
    this.#remember(event);
  }

  /** The daemon is away; what was known last stays in view. */
  hearTrouble(text: string): void {
    this.#trouble = text;
    this.#knocks.clear();
  }

  /** Exactly as many lines as there are rows, none so wide as the window: what ends in its last column is not ended alike everywhere. */
  draw({ columns: wide, rows }: Size, now: number, wallNow: number): readonly string[] {
    const columns = wide - 1;
    const status = this.#status && agedBy(this.#status.value, now - this.#status.heard);
    const lines = [this.#title(status, columns, wallNow), ''];
    if (status) {
      lines.push(...this.#section(describeDoors(status, this.#paint), Math.max(3, Math.floor(rows * 0.5))));
      lines.push(
        ...this.#drawAllowed(status, rows),
        ...this.#drawBans(status),
        ...this.#drawProbing(status, rows, wallNow),
        '',
        ...this.#section(this.#drawKnocks(now), Math.max(2, Math.floor(rows * 0.25))),
        '',
      );
      if (status.trial) lines.push(describeTrial(status.trial, this.#paint), '');
      lines.push(...describeWarnings(status, this.#paint));
    }
    const foot = this.#drawFoot();
    const room = rows - lines.length - foot.length - 1;
    if (room > 0) lines.push(this.#paint('dim', 'LATEST'), ...this.#drawEvents(room, wallNow));
    const shown = lines.slice(0, Math.max(0, rows - foot.length));
    while (shown.length < rows - foot.length) shown.push('');
    return [...shown, ...foot].slice(0, rows).map((line) => cutTo(columns, line));
  }

  #remember(event: WireEvent): void {
    if ('id' in event && event.id <= this.#last) return;
    this.#events.push(event);
    if (this.#events.length > MOST_EVENTS) this.#events = this.#events.slice(-MOST_EVENTS / 2);
  }

  #title(value: WireStatus | undefined, columns: number, wallNow: number): string {
    const left = value
      ? `${this.#paint('bold', 'postern')} ${harmless(value.version)}, up ${timeLeft(value.uptime_ms)}, ${harmless(value.firewall)}`
      : this.#paint('bold', 'postern');
    const clock = clockTime(wallNow);
    return `${left}${' '.repeat(Math.max(2, columns - widthOf(left) - clock.length))}${this.#paint('dim', clock)}`;
  }

  #section(lines: readonly string[], most: number): readonly string[] {
    if (lines.length <= most) return lines;
    return [...lines.slice(0, most - 1), this.#paint('dim', `and ${lines.length - most + 1} more`)];
  }

  /** Who gets in without a knock: during a trial, whoever applied it. */
  #drawAllowed({ allowed }: WireStatus, rows: number): readonly string[] {
    if (allowed.length === 0) return [];
    return [
      '',
      ...this.#section(describeSources('ALLOWED', allowed, this.#paint), Math.max(3, Math.floor(rows * 0.2))),
    ];
  }

  #drawBans(status: WireStatus): readonly string[] {
    const { bans, mode } = status;
    return [
      ...(mode === 'observe' ? ['', describeObserving(status, this.#paint)] : []),
      ...(bans.length === 0 ? [] : ['', `${this.#paint('red', 'banned')}: ${count(bans.length, 'source')}`]),
    ];
  }

  #drawProbing({ bans }: WireStatus, rows: number, wallNow: number): readonly string[] {
    const lines = describeProbing(this.#strangers, bans, this.#paint, wallNow);
    return lines.length === 0 ? [] : ['', ...this.#section(lines, Math.max(3, Math.floor(rows * 0.25)))];
  }

  #drawKnocks(now: number): readonly string[] {
    const rows: string[][] = [];
    for (const [key, { stage, heard }] of [...this.#knocks].reverse()) {
      if (now - heard > KNOCK_SHOWN) this.#knocks.delete(key);
      else {
        const { door, source, stage: at, of } = stage;
        const steps = `${'●'.repeat(Math.min(at, 32))}${'○'.repeat(Math.max(0, Math.min(of, 32) - at))}`;
        rows.push([harmless(source), harmless(door), this.#paint('cyan', steps), clockTime(Date.parse(stage.time))]);
      }
    }
    if (rows.length === 0) return [this.#paint('dim', 'NOBODY KNOCKS')];
    return alignColumns([['KNOCKING', 'AT', 'STEPS', 'LAST'].map((head) => this.#paint('dim', head)), ...rows]);
  }

  /** The latest that have room; with their day, where one of them is not of the last. */
  #drawEvents(room: number, wallNow: number): readonly string[] {
    const shown = this.#events.slice(-room);
    const recent = shown.every(({ time }) => isRecent(Date.parse(time), wallNow));
    const lines = new LogLines(this.#paint, recent ? clockTime : localTime);
    lines.expect(this.#events);
    return shown.map((event) => lines.print(event));
  }

  #drawFoot(): readonly string[] {
    const keys = this.#paint('dim', 'q quits');
    if (this.#trouble !== undefined) return [this.#paint('red', harmless(this.#trouble)), keys];
    return [...(this.#status ? [describeWatcher(this.#status.value, this.#paint)] : []), keys];
  }
}

/** Numbers go on over a restart of the daemon, unless it keeps nothing and the clock was set back. */
function nameOf(event: WireEvent): string {
  return 'id' in event ? `${event.id} ${event.time}` : event.type;
}

/** The status as it is some milliseconds later, as far as anybody can tell. */
function agedBy(status: WireStatus, elapsed: number): WireStatus {
  const left = (time: number | null): number | null => (time === null ? null : Math.max(0, time - elapsed));
  return {
    ...status,
    uptime_ms: status.uptime_ms + elapsed,
    ...(status.trial && {
      trial: { ...status.trial, remaining_ms: Math.max(0, status.trial.remaining_ms - elapsed) },
    }),
    bans: status.bans.map((ban) => ({ ...ban, remaining_ms: left(ban.remaining_ms) })),
    allowed: status.allowed.map((pass) => ({ ...pass, remaining_ms: left(pass.remaining_ms) })),
    doors: status.doors.map((door) => ({
      ...door,
      grants: door.grants.map((grant) => ({ ...grant, remaining_ms: left(grant.remaining_ms) })),
    })),
  };
}
