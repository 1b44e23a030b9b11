/** Durations as people write them to us: `30s`, `5m`, `1h30m`, `500ms`. A number alone is none: nobody can tell its unit. */

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

/** One number and unit after another, from the largest unit to the smallest, each once. */
export const DURATION_PATTERN =
  '^(?=[0-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m(?!s))?([0-9]{1,9}s)?([0-9]{1,9}ms)?$';

const DURATION = new RegExp(DURATION_PATTERN);

/** Milliseconds; undefined when the text is anything else. */
export function readDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (!match) return undefined;
  return UNITS.reduce((sum, [, worth], i) => sum + worth * Number.parseInt(match[i + 1] ?? '0', 10), 0);
}

/** The shortest text of a duration in milliseconds; whole numbers only. */
export function printDuration(milliseconds: number): string {
  let rest = milliseconds;
  let text = '';
  for (const [unit, worth] of UNITS) {
    const count = Math.floor(rest / worth);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * worth;
  }
  return text === '' ? '0s' : text;
}
