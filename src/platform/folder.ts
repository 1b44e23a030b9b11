/** Folders of our own making. */

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Creates a folder for its owner alone, and those above it; one that is there is left as it is. Throws when it cannot be, where
 * `mkdirSync` with `recursive` tries for ever: below /proc, which says ENOENT whatever is there.
 */
export function createFolder(path: string): void {
  if (made(path)) return;
  createFolder(dirname(path));
  if (!made(path)) mkdirSync(path, { mode: 0o700 });
}

/** False when the folder above it is missing. */
function made(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return true;
    if (code === 'ENOENT' && dirname(path) !== path) return false;
    throw error;
  }
}
