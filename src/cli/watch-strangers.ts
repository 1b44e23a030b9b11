/**
 * Who is probing, as `postern watch` shows it: the worst few with what they did since when, and the bans in force, in one table; and
 * where nothing can be drawn, a line for each who is new among them, or banned since.
 */

import type { WireSource } from '../control/client.ts';
import type { EventType, WireStranger } from '../control/wire-event.ts';
import { describeTouched } from './attackers.ts';
import type { Paint } from './terminal.ts';
import { alignColumns, clockTime, count, harmless, isRecent, localTime, placeText, timeLeft } from './wording.ts';

/** How many are asked for: more than any window shows. */
export const WORST = 20;

/** Events after which the account of strangers is not what it was. */
export const PROBING: ReadonlySet<EventType | 'skipped'> = new Set([
  'trapped',
  'refused',
  'scanned',
  'failed',
  'denied',
  'banned',
  'unbanned',
] as const);

const MOST_TOLD = 4096;

/** The worst first, then who is banned without having done anything; no lines when there is nobody. */
export function describeProbing(
  strangers: readonly WireStranger[],
  bans: readonly WireSource[],
  paint: Paint,
  wallNow: number,
): readonly string[] {
  const left = new Map(bans.map((ban) => [ban.source, timeLeft(ban.remaining_ms)]));
  const known = new Set(strangers.map(({ source }) => source));
  const rows = [
    ...strangers.map((stranger) => [
      paint(stranger.banned ? 'red' : 'bold', placeText(stranger)),
      shortTime(stranger.since, wallNow),
      shortTime(stranger.last, wallNow),
      stranger.banned ? paint('red', left.get(stranger.source) ?? 'yes') : '-',
      describeDeeds(stranger),
      describeTouched(stranger),
    ]),
    ...bans
      .filter(({ source }) => !known.has(source))
      .map((ban) => [
        paint('red', placeText(ban)),
        '-',
        '-',
        paint('red', timeLeft(ban.remaining_ms)),
        harmless(ban.reason ?? (ban.user === undefined ? ban.via : `${ban.via} (${ban.user})`)),
        '-',
      ]),
  ];
  if (rows.length === 0) return [];
  const heads = ['PROBING', 'SINCE', 'LAST', 'BANNED', 'DID', 'TOUCHED'];
  return alignColumns([heads.map((head) => paint('dim', head)), ...rows]);
}

/** Whom there is no need to tell of again. Bounded: the first to be told of are the first to be forgotten. */
export class ProbingNews {
  readonly #banned = new Map<string, boolean>();

  /** Those who are new since the last call, or banned since. */
  hear(strangers: readonly WireStranger[]): readonly WireStranger[] {
    const news = strangers.filter(({ source, banned }) => {
      const before = this.#banned.get(source);
      return before === undefined || (banned && !before);
    });
    for (const { source, banned } of strangers) this.#banned.set(source, banned);
    for (const source of this.#banned.keys()) {
      if (this.#banned.size <= MOST_TOLD) break;
      this.#banned.delete(source);
    }
    return news;
  }
}

/** One line: who, since when, how often, and what. */
export function printProbing(stranger: WireStranger, paint: Paint): string {
  const { banned, since } = stranger;
  const word = banned ? paint('red', 'banned') : paint('yellow', 'probing');
  const told = [describeDeeds(stranger), describeTouched(stranger)].join('; ');
  return `${word}: ${placeText(stranger)}, since ${localTime(Date.parse(since))}: ${told}`;
}

function describeDeeds({ traps, closed, scans, failed, denied, unused }: WireStranger): string {
  const deeds = [
    [traps, count(traps, 'trap')],
    [closed, closed === 1 ? '1 try' : `${closed} tries`],
    [scans, count(scans, 'scan')],
    [failed, count(failed, 'wrong knock')],
    [denied, count(denied, 'denied knock')],
  ] as const;
  const told = deeds.filter(([number]) => number > 0).map(([, text]) => text);
  return told.join(', ') || count(unused, 'other packet');
}

/** The time of today, else the day. */
function shortTime(time: string, wallNow: number): string {
  const moment = Date.parse(time);
  return isRecent(moment, wallNow) ? clockTime(moment) : localTime(moment).slice(0, 10);
}
