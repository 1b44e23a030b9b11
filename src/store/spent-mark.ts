/**
 * A file beside the state that says which state it belongs to, and how many one-time entries that one has spent. Without it, a state that
 * was lost, set aside or replaced by an old copy could not be told from the first start, and entries would be good again.
 *
 * The state is the marked one and has spent as many or more (a crash comes between the two): all is well. There is no mark: the first
 * start, or the administrator has accepted the loss by removing it; one is written. Anything else: entries were forgotten, nothing is spent.
 */

import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { refuseSpending, SpentError, type SpentStore } from './spent-store.ts';

/** What is spent in a state file, and how much that is. */
export interface CountedSpent extends SpentStore {
  readonly count: number;
}

/** Spends in the state `identity` and in its mark; refuses where the mark is another's, or cannot be used. */
export function markSpending(spent: CountedSpent, identity: string, mark: string): SpentStore {
  try {
    const text = read(mark);
    if (text === undefined) begin(mark, firstLine(identity, spent.count));
    else if (!covers(spent.count, identity, text)) {
      return refuseSpending(`One-time entries are refused, since some that were used are forgotten: see ${mark}`);
    }
  } catch (error) {
    return refuseSpending(
      `One-time entries are refused, since ${mark} cannot be read and written: ${(error as Error).message}`,
    );
  }
  return {
    spend: (entry) => {
      const fresh = spent.spend(entry);
      if (fresh) record(mark, firstLine(identity, spent.count));
      return fresh;
    },
  };
}

const EXPLANATION = `
Above: the state file beside this one, and how many one-time entries are spent in it. When that file is lost, damaged
or replaced by an older copy, used entries are forgotten, and Postern refuses all of them for as long as this file says so.
To go on: replace your one-time lists by new ones, remove this file, start posternd again.
`;

/** Always of one length, so that it is overwritten in place. */
function firstLine(identity: string, count: number): string {
  return `${identity} ${String(count).padStart(10, '0')}\n`;
}

function covers(count: number, identity: string, text: string): boolean {
  const match = /^(\S+) (\d{10})\n/.exec(text);
  return match?.[1] === identity && Number(match[2]) <= count;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function begin(mark: string, line: string): void {
  const draft = `${mark}.new`;
  writeFileSync(draft, line + EXPLANATION, { mode: 0o600, flush: true });
  renameSync(draft, mark);
  const folder = openSync(dirname(mark), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function record(mark: string, line: string): void {
  try {
    const file = openSync(mark, 'r+');
    try {
      writeSync(file, line, 0);
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw new SpentError(`Cannot record a spent entry in ${mark}: ${(error as Error).message}`, { cause: error });
  }
}
