/** Whether a file can have been written only by this user and root: what decides who opens doors, or runs, must be. */

import { chmodSync, lstatSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';

const GROUP_WRITE = 0o020;
const GROUP_OR_OTHERS_WRITE = 0o022;
const ROOT = 0;

/**
 * Why the content of `file` could be somebody else's, for people; undefined when it cannot. `tails` are what its users append to its
 * name for files beside it. What does not exist is nobody's; a link is not followed, but the folder may be one.
 */
export function whyUntrusted(file: string, tails: readonly string[]): string | undefined {
  const folder = dirname(file);
  const about = statSync(folder, { throwIfNoEntry: false });
  if (about && !isOurs(about)) return `${folder} can be written by others: make it root's (chown root, chmod go-w)`;
  for (const path of [file, ...tails.map((tail) => file + tail)]) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found && !found.isFile()) return `${path} is not a regular file: remove it`;
    if (found && !isOurs(found))
      return `${path} can be written by others: remove it, or make it root's (chown root, chmod go-w)`;
  }
  return undefined;
}

/** Is it a folder of root and root's group that only lacks `chmod g-w`, as `umask 002` leaves it behind? */
export function canMend(folder: string): boolean {
  const about = statSync(folder, { throwIfNoEntry: false });
  if (about === undefined || process.geteuid?.() !== ROOT) return false;
  return about.uid === ROOT && about.gid === ROOT && (about.mode & GROUP_OR_OTHERS_WRITE) === GROUP_WRITE;
}

/** Takes the right to write from the group of such a folder; false when it is another, or cannot be. */
export function mendFolder(folder: string): boolean {
  try {
    if (!canMend(folder)) return false;
    chmodSync(folder, statSync(folder).mode & 0o7777 & ~GROUP_WRITE);
    return true;
  } catch {
    return false;
  }
}

function isOurs({ uid, mode }: Stats): boolean {
  return (uid === 0 || uid === process.geteuid?.()) && (mode & GROUP_OR_OTHERS_WRITE) === 0;
}
