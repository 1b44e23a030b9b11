/**
 * Durations and sizes as people write them: `30s`, `1h30m`, `100MB`. A number alone is no duration, because nobody can tell
 * whether it means seconds or milliseconds; whatever else can be understood is refused with the way to write it.
 */

import { printDuration, readDuration } from '../core/duration.ts';
import { quote } from './problem.ts';
import { fault, type Reading, shown } from './reading.ts';

export { DURATION_PATTERN, printDuration } from '../core/duration.ts';

/** The units and the other names that people give them. */
const DURATION_NAMES: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ...['s', 'sec', 'secs', 'second', 'seconds'].map((name) => [name, 1000] as const),
  ...['m', 'min', 'mins', 'minute', 'minutes'].map((name) => [name, 60_000] as const),
  ...['h', 'hr', 'hrs', 'hour', 'hours'].map((name) => [name, 3_600_000] as const),
  ...['d', 'day', 'days'].map((name) => [name, 86_400_000] as const),
  ...['w', 'week', 'weeks'].map((name) => [name, 604_800_000] as const),
  ...['msec', 'msecs', 'millisecond', 'milliseconds'].map((name) => [name, 1] as const),
]);

/** Milliseconds of `30s`, `5m`, `1h30m`, `500ms`. */
export function parseDuration(text: string): Reading<number> {
  const value = readDuration(text);
  if (value !== undefined) return { value };
  const message = `Cannot read the duration ${quote(text)}`;
  if (/^\d+(?:\.\d+)?$/.test(text))
    return fault(message, `Add a unit: "${shown(text)}s" is seconds, "ms", "m", "h" and "d" are there too`);
  const meant = guessDuration(text);
  return fault(
    message,
    meant === undefined
      ? 'Write a number with a unit, such as "30s", "5m" or "1h30m"'
      : `Write "${printDuration(meant)}"`,
  );
}

function guessDuration(text: string): number | undefined {
  const compact = text.toLowerCase().replace(/\s+|,|\band\b/g, '');
  if (!/^(?:\d{1,9}(?:\.\d{1,3})?[a-z]+)+$/.test(compact)) return undefined;
  let total = 0;
  for (const [, number, unit] of compact.matchAll(/([\d.]+)([a-z]+)/g)) {
    const worth = DURATION_NAMES.get(unit ?? '');
    if (worth === undefined) return undefined;
    total += Number(number) * worth;
  }
  return Number.isInteger(total) ? total : undefined;
}

/** Decimal and binary multiples of a byte, as in df(1). */
const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['B', 1],
  ['kB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
]);

export const SIZE_PATTERN = '^[0-9]{1,12}(B|kB|MB|GB|KiB|MiB|GiB)$';

const SIZE = /^([0-9]{1,12})(B|kB|MB|GB|KiB|MiB|GiB)$/;

/** Bytes of `100MB`, `64MiB`. */
export function parseSize(text: string): Reading<number> {
  const [, number, unit] = SIZE.exec(text) ?? [];
  if (number !== undefined) return { value: Number(number) * (SIZE_UNITS.get(unit ?? '') ?? 1) };
  const message = `Cannot read the size ${quote(text)}`;
  const [, digits, written] = /^(\d{1,12})\s*([a-z]*)$/i.exec(text.trim()) ?? [];
  if (digits === undefined) return fault(message, 'Write a whole number with a unit, such as "100MB" or "64MiB"');
  if (written === '') return fault(message, `Add a unit, such as "${digits}MB"`);
  const lower = (written ?? '').toLowerCase();
  const near = [...SIZE_UNITS.keys()].find(
    (name) => name.toLowerCase() === lower || name.toLowerCase() === `${lower}b`,
  );
  return fault(message, near ? `Write "${digits}${near}"` : `The units are ${[...SIZE_UNITS.keys()].join(', ')}`);
}
