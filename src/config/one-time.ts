/**
 * knockd's file of one-time sequences: one per line in the grammar of `Sequence`; blank lines and lines whose first character
 * is `#` do not count. The first usable line is the sequence in force. A used one is marked by overwriting the first byte of its
 * line with `#`, so the file keeps its length and its other lines.
 *
 * When a malformed line stands before the used one, knockd marks the malformed line, and the used sequence is good for a second
 * time. Here exactly the used line is marked. Pure: bytes in, what to write out.
 */

import type { Step } from '../core/door.ts';
import { knockdLines, toBytes } from './knockd-lines.ts';
import { readSequence, type SequenceFault, type SequenceItem, sameSteps } from './knockd-values.ts';

/** The byte that marks a used line: `#`. */
export const SPENT = 0x23;

/** A line that can be knocked. */
export interface OneTimeEntry {
  /** Where the line begins in the file, in bytes: the place of the mark. */
  readonly offset: number;
  readonly line: number;
  readonly steps: readonly Step[];
  /** The line as written, a byte string. */
  readonly text: string;
}

/** A line that knockd reports and skips. */
export interface OneTimeReject {
  readonly line: number;
  readonly fault: SequenceFault;
  readonly items: readonly SequenceItem[];
}

export interface OneTimeList {
  readonly entries: readonly OneTimeEntry[];
  readonly rejects: readonly OneTimeReject[];
}

/** Everything a one-time file holds. The entry in force is the first. */
export function readOneTime(bytes: Uint8Array): OneTimeList {
  const entries: OneTimeEntry[] = [];
  const rejects: OneTimeReject[] = [];
  for (const { text, offset, line } of knockdLines(toBytes(bytes))) {
    if (text === '' || text.startsWith('#')) continue;
    const { steps, items, fault } = readSequence(text);
    if (fault) rejects.push({ line, fault, items });
    else entries.push({ offset, line, steps, text });
  }
  return { entries, rejects };
}

export interface Spending {
  /** Where `SPENT` is to be written; absent when the used sequence is on no line any more, and nothing is to be marked. */
  readonly offset?: number;
  /** The sequence in force from now on; absent when none is left and the door is disabled. */
  readonly next?: OneTimeEntry;
}

/**
 * What to do with the file after `used` has opened the door. Call it with the file as it is now: when somebody has edited it
 * meanwhile, the used sequence is looked for on its other lines.
 */
export function spend(bytes: Uint8Array, used: Pick<OneTimeEntry, 'offset' | 'steps'>): Spending {
  const { entries } = readOneTime(bytes);
  const same = entries.filter((entry) => sameSteps(entry.steps, used.steps));
  const marked = same.find((entry) => entry.offset === used.offset) ?? same[0];
  const next = entries.find((entry) => entry !== marked);
  return { ...(marked && { offset: marked.offset }), ...(next && { next }) };
}
