/**
 * Reads a state file that cannot be written, on a disk that is full or read-only. SQLite cannot open a WAL there, since it needs a place
 * for its index; so the file is read from a copy in memory-backed folders where there are any. A copy is private, and gone at once.
 */

import { constants, copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { openSound, refuseStrangers } from './database.ts';

/** A larger file is not worth the memory. */
const LARGEST = 256 << 20;

/** Calls `use` with the file's contents, as of its last commit. Throws when there is no reading it. */
export function readDatabase<Value>(file: string, use: (database: DatabaseSync) => Value): Value {
  refuseStrangers(file);
  const { size } = statSync(file);
  if (size > LARGEST) throw new Error('it is too large to be copied');
  let failure: unknown;
  for (const folder of new Set(['/dev/shm', '/run', tmpdir()])) {
    let own: string;
    try {
      own = mkdtempSync(join(folder, 'postern-'));
    } catch (error) {
      failure = error;
      continue;
    }
    try {
      const copy = join(own, 'copy');
      copyFileSync(file, copy, constants.COPYFILE_FICLONE);
      copyIfThere(`${file}-wal`, `${copy}-wal`);
      return readCopy(copy, use);
    } finally {
      rmSync(own, { recursive: true, force: true });
    }
  }
  throw failure;
}

function readCopy<Value>(copy: string, use: (database: DatabaseSync) => Value): Value {
  const { database, value } = openSound(copy, (opened) => ({ database: opened, value: use(opened) }));
  database.close();
  return value;
}

function copyIfThere(from: string, to: string): void {
  try {
    copyFileSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
