/**
 * The one-time sequences file of a door, on disk. A sequence is marked as used, and the mark is on the disk, before the door
 * opens: a crash in between costs a sequence, never a replay. What cannot be marked disables the door. A dry run marks in memory.
 */

import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { type OneTimeEntry, SPENT, spend } from '../config/one-time.ts';

/** What became of a used sequence, and the one in force from now on; none is left without `next`. */
export interface Spent {
  /** False when it was used before, or somebody took it out of the file: then the door must not open. */
  readonly good: boolean;
  readonly next: OneTimeEntry | undefined;
}

type Used = Pick<OneTimeEntry, 'offset' | 'steps'>;

/**
 * Marks the used sequence on disk. One with a negative offset was never in the file (knockd.conf's own `Sequence`, for the first
 * knock). Throws when the file cannot be read or written.
 */
export function spendOneTime(path: string, used: Used): Spent {
  const { offset, next } = spend(readFileSync(path), used);
  if (offset === undefined) return { good: used.offset < 0, next };
  const fd = openSync(path, 'r+');
  try {
    writeSync(fd, Uint8Array.of(SPENT), 0, 1, offset);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return { good: true, next };
}

/** The same without a mark on disk: each file is read once, and its marks are in memory. For a replay that changes nothing. */
export function spendInMemory(): (path: string, used: Used) => Spent {
  const files = new Map<string, Uint8Array>();
  return (path, used) => {
    const bytes = files.get(path) ?? readFileSync(path);
    files.set(path, bytes);
    const { offset, next } = spend(bytes, used);
    if (offset === undefined) return { good: used.offset < 0, next };
    bytes[offset] = SPENT;
    return { good: true, next };
  };
}
