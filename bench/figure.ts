/**
 * What a measurement brings home: figures, each with the samples of ours and of Debian's knockd side by side, and a line of the
 * table for people. A target is the design's; whether it is met is said, never asserted.
 */

import { type Summary, summarize } from './statistics.ts';

export interface Figure {
  /** What was measured, under which load. */
  readonly name: string;
  readonly unit: string;
  readonly ours: readonly number[];
  /** Absent where the other has no such thing, or cannot bear the load. */
  readonly knockd?: readonly number[];
  readonly target?: Target;
  /** What a reader has to know to read it right. */
  readonly note?: string;
}

export interface Target {
  readonly text: string;
  readonly met: (ours: Summary, knockd: Summary | undefined) => boolean;
}

/** A figure as `--json` prints it. */
export interface Row {
  readonly measurement: string;
  readonly name: string;
  readonly unit: string;
  readonly ours: Summary;
  readonly knockd?: Summary;
  /** Our median by theirs. */
  readonly ratio?: number;
  readonly target?: string;
  readonly met?: boolean;
  readonly note?: string;
}

/** Sums a figure up; throws when it has no samples. */
export function rowOf(measurement: string, figure: Figure): Row {
  const { name, unit, target, note } = figure;
  const ours = summarize(figure.ours);
  const knockd = figure.knockd && summarize(figure.knockd);
  return {
    measurement,
    name,
    unit,
    ours,
    ...(knockd && { knockd }),
    ...(knockd && knockd.median !== 0 && { ratio: ours.median / knockd.median }),
    ...(target && { target: target.text, met: target.met(ours, knockd) }),
    ...(note !== undefined && { note }),
  };
}

export const HEADING = [
  '| measurement | figure | unit | Postern: min / median / max | knockd 0.8: min / median / max | ratio | target |',
  '|---|---|---|---|---|---|---|',
];

/** A line of the Markdown table under `HEADING`. */
export function printRow(row: Row): string {
  const figure = row.note === undefined ? row.name : `${row.name} (${row.note})`;
  const verdict = row.target === undefined ? '' : `${row.target}: ${row.met ? 'met' : '**not met**'}`;
  const ratio = row.ratio === undefined ? '' : printNumber(row.ratio);
  const cells = [row.measurement, figure, row.unit, printSummary(row.ours), printSummary(row.knockd), ratio, verdict];
  return `| ${cells.join(' | ')} |`;
}

/** So many samples make a 95th percentile worth printing. */
const MANY = 20;

function printSummary(summary: Summary | undefined): string {
  if (!summary) return '–';
  const { count, min, median, p95, max } = summary;
  if (count === 1) return printNumber(median);
  const range = [min, median, max].map(printNumber).join(' / ');
  return count < MANY ? range : `${range}, p95 ${printNumber(p95)}`;
}

/** Three digits that count. */
function printNumber(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString('en');
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3);
}
