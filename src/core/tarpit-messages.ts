/** What the tarpit says to its keeper, a line each: how it is shut in, whom it holds, that it lives. Read as strictly as the watcher's reports. */

import { type Confinement, decodeReport, encodeReport } from './messages.ts';
import type { PitCounts } from './pit.ts';

export type TarpitReport =
  | { readonly type: 'ready'; readonly confinement: Confinement }
  | { readonly type: 'held'; readonly counts: PitCounts }
  | { readonly type: 'alive'; readonly number: number };

export function encodeTarpitReport(report: TarpitReport): string {
  if (report.type !== 'held') return encodeReport(report);
  const { held, total, turnedAway } = report.counts;
  return `held ${held} ${total} ${turnedAway}\n`;
}

const HELD = /^held (\d{1,4}) (\d{1,15}) (\d{1,15})$/;

/** Undefined for a line that is not exactly one of the reports. */
export function decodeTarpitReport(line: string): TarpitReport | undefined {
  const [, held, total, turnedAway] = HELD.exec(line) ?? [];
  if (held !== undefined) {
    return {
      type: 'held',
      counts: { held: Number(held), total: Number(total), turnedAway: Number(turnedAway) },
    };
  }
  const report = decodeReport(line);
  return report?.type === 'ready' || report?.type === 'alive' ? report : undefined;
}
