/**
 * Is the wall clock right, as far as a machine can tell by itself? It cannot be earlier than what was written down already: files, the newest event,
 * the kernel. And somebody has to keep it right. Windows and grants do not need it; what is written down, and grants over a restart, do.
 */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { broken, type Diagnosis, ok, warning } from './diagnosis.ts';

/** Further off than any clock that somebody has set right. */
const SLACK = 300_000;
const MOST_TOLD = 3;

/** Something that happened: what, and when by the wall clock, in milliseconds since 1970. */
export interface PastEvent {
  readonly what: string;
  readonly time: number;
}

export interface ClockFacts {
  readonly now: number;
  readonly past: readonly PastEvent[];
  /** Undefined where the kernel does not say. */
  readonly synchronized: boolean | undefined;
}

export function* judgeClock({ now, past, synchronized }: ClockFacts): Generator<Diagnosis> {
  const ahead = past.filter(({ time }) => time > now + SLACK).sort((x, y) => y.time - x.time);
  for (const { what, time } of ahead.slice(0, MOST_TOLD))
    yield broken(
      'clock',
      `${what} is from ${new Date(time).toISOString()}: the clock is behind`,
      'Set the clock: timedatectl set-ntp true, or by hand: date -s TIME',
    );
  if (synchronized === false)
    yield warning(
      'clock',
      'Nobody keeps the clock of this host right: the kernel calls it unsynchronized',
      'Let a time service run: timedatectl set-ntp true, or chrony, or ntpd',
    );
  if (ahead.length > 0 || synchronized === false) return;
  yield ok('clock', synchronized ? 'is kept by a time service, and goes forward' : 'goes forward');
}

/** When a file, and all in a folder, was written last. What is not there is passed over. */
export function writtenAt(file: string, folder: string | undefined): readonly PastEvent[] {
  const inFolder = folder === undefined ? [] : namesIn(folder).map((name) => join(folder, name));
  return [file, ...inFolder].flatMap((path): readonly PastEvent[] => {
    try {
      return [{ what: path, time: statSync(path).mtimeMs }];
    } catch {
      return [];
    }
  });
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
