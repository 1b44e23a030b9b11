/** History events as log lines for people: one table. `ssh: opened for 192.0.2.7 (knock)`. */

import type { HistoryEvent, HistoryType } from '../core/history.ts';

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
  failed: { level: 'debug', verb: 'failed knock of' },
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

/** The line, without time. */
export function printEvent(event: HistoryEvent): string {
  const { door, source, reason, via, user, detail, type } = event;
  const subject = door === undefined ? '' : `${door}: `;
  const object = source === undefined ? '' : ` ${source}`;
  const notes = [via, user, reason].filter((note) => note !== undefined).join(', ');
  return `${subject}${WORDS[type].verb}${object}${notes === '' ? '' : ` (${notes})`}${detail === undefined ? '' : `: ${onOneLine(detail)}`}`;
}

/** What programs wrote must neither begin a line of its own in the log nor steer the terminal that shows it. */
function onOneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' / ').replaceAll(/\p{Cc}/gu, '?');
}
