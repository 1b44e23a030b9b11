/**
 * A file beside the state that names the state it belongs to. Without it, a state file that was lost or set aside could not be told from
 * the first start, and every one-time entry would be good again.
 *
 * State and mark agree: all is well. A state without a mark: the first start, or the administrator has accepted the loss by removing
 * the mark; it is written. A mark of another state: entries were forgotten, and nothing is spent.
 */

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Is this the state the mark stands for? Writes the mark where there is none. Throws when it cannot be read or written. */
export function agreesWithMark(mark: string, identity: string): boolean {
  const text = read(mark);
  if (text !== undefined) return text.split('\n')[0] === identity;
  const draft = `${mark}.new`;
  const fd = openSync(draft, 'w', 0o600);
  try {
    writeSync(fd, `${identity}\n${EXPLANATION}`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(draft, mark);
  syncFolder(dirname(mark));
  return true;
}

const EXPLANATION = `
The number is that of the state file beside this one. When that file is lost or damaged, used one-time entries are
forgotten, and Postern refuses all of them for as long as this file remembers the lost one.
To go on: replace your one-time lists by new ones, remove this file, start posternd again.
`;

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
