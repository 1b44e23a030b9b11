/**
 * History events as lines of the log, for people and for the programs that read it: one table. doc/logs.md promises these forms.
 *
 * - Text: `[DOOR: ]WORDS[ SOURCE][ (NOTES)][: DETAIL]`. Whoever reads from the left meets only words of ours until the detail begins: a line
 *   that is about no door begins with words that no door may be called (`RESERVED_NAMES`), and what others wrote comes last.
 * - JSON: the object that `postern log --json` prints.
 * - A line is one line of at most 1,023 bytes, and nothing in it steers a terminal. Of what is too long, the detail's end goes.
 */

import { wireEntry } from '../control/wire-event.ts';
import type { HistoryEntry, HistoryEvent, HistoryType } from '../core/history.ts';

/** How much a line matters; `[log] level` says from where on it is written. */
export type Level = 'error' | 'warning' | 'info' | 'debug';

const LEVELS: readonly Level[] = ['error', 'warning', 'info', 'debug'];

const WORDS: Readonly<Record<HistoryType, { readonly level: Level; readonly verb: string }>> = {
  opened: { level: 'info', verb: 'opened for' },
  renewed: { level: 'info', verb: 'renewed for' },
  closed: { level: 'info', verb: 'closed for' },
  expired: { level: 'info', verb: 'time over for' },
  adopted: { level: 'info', verb: 'found open for' },
  denied: { level: 'warning', verb: 'not opened for' },
  failed: { level: 'info', verb: 'failed knock of' },
  trapped: { level: 'info', verb: 'trap touched by' },
  refused: { level: 'info', verb: 'refused' },
  scanned: { level: 'info', verb: 'scan by' },
  banned: { level: 'warning', verb: 'banned' },
  unbanned: { level: 'info', verb: 'no longer banned:' },
  allowed: { level: 'info', verb: 'allowed' },
  disallowed: { level: 'info', verb: 'no longer allowed:' },
  hooked: { level: 'info', verb: 'hook for' },
  restored: { level: 'warning', verb: 'the guard had been removed by somebody else and was put back' },
  started: { level: 'info', verb: 'started' },
  reloaded: { level: 'info', verb: 'configuration reloaded' },
  applied: { level: 'info', verb: 'configuration on trial' },
  confirmed: { level: 'info', verb: 'configuration confirmed' },
  reverted: { level: 'warning', verb: 'configuration not confirmed and taken back' },
  stopped: { level: 'info', verb: 'stopped' },
  warned: { level: 'warning', verb: 'warning' },
  omitted: { level: 'warning', verb: 'events were not recorded' },
};

export function matters(level: Level, least: Level): boolean {
  return LEVELS.indexOf(level) <= LEVELS.indexOf(least);
}

export function levelOf(event: HistoryEvent): Level {
  return WORDS[event.type].level;
}

const LONGEST = 1023;

/** The line, without time. */
export function printEvent(event: HistoryEvent): string {
  const { door, source, reason, via, user, detail, type } = event;
  const subject = door === undefined ? '' : `${door}: `;
  const object = source === undefined ? '' : ` ${source}`;
  const notes = [via, user, reason].filter((note) => note !== undefined).join(', ');
  const words = `${subject}${WORDS[type].verb}${object}${notes === '' ? '' : ` (${notes})`}`;
  return onOneLine(`${words}${detail === undefined ? '' : `: ${detail}`}`);
}

/** The object, on one line. What was not recorded has no number (`id`). */
export function printEventJson(event: HistoryEvent, recorded: Pick<HistoryEntry, 'time'> & { id?: number }): string {
  const print = (shown: HistoryEvent): string => {
    const { id, ...fields } = wireEntry({ ...shown, id: 0, ...recorded });
    return printJson(recorded.id === undefined ? fields : { ...fields, id });
  };
  let { detail = '' } = event;
  let line = print(event);
  while (bytesOf(line) > LONGEST && detail !== '') {
    detail = detail.slice(0, Math.floor(detail.length * 0.9));
    line = print({ ...event, detail: `${detail}…` });
  }
  return line;
}

/** JSON in which nothing but what is printed stands for itself: the characters that end a line or steer a terminal are escaped. */
export function printJson(value: object): string {
  const unit = (index: number, text: string): string => text.charCodeAt(index).toString(16).padStart(4, '0');
  return JSON.stringify(value).replaceAll(UNPRINTED, (found) =>
    Array.from({ length: found.length }, (_, index) => `\\u${unit(index, found)}`).join(''),
  );
}

/** What programs wrote must neither begin a line of its own in the log nor steer the terminal that shows it. */
export function onOneLine(text: string): string {
  const line = text
    .trimEnd()
    .replaceAll(/\s*\n\s*/g, ' / ')
    .replaceAll(UNPRINTED, '?');
  if (bytesOf(line) <= LONGEST) return line;
  const kept = new TextEncoder().encode(line).subarray(0, LONGEST - 3);
  return `${new TextDecoder().decode(kept).replace(/\ufffd$/, '')}…`;
}

/** Control characters, line and paragraph separators, and what turns the direction of a line. */
const UNPRINTED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}
