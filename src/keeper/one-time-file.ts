/**
 * The one-time sequences file of a door, on disk. A sequence is marked as used, and the mark is on the disk, before the door
 * opens: a crash in between costs a sequence, never a replay. What cannot be marked disables the door.
 */

import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { type OneTimeEntry, SPENT, spend } from '../config/one-time.ts';

/** Marks the used sequence and returns the next; undefined when none is left. Throws when the file cannot be read or written. */
export function spendOneTime(path: string, used: Pick<OneTimeEntry, 'offset' | 'steps'>): OneTimeEntry | undefined {
  const { offset, next } = spend(readFileSync(path), used);
  if (offset !== undefined) {
    const fd = openSync(path, 'r+');
    try {
      writeSync(fd, Uint8Array.of(SPENT), 0, 1, offset);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
  return next;
}
