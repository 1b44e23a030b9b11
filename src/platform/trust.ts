/** Whether a file can have been written only by this user and root: what decides who opens doors, or runs, must be. */

import { lstatSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';

const GROUP_OR_OTHERS_WRITE = 0o022;

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
    if (found && !found.isFile()) return `${path} is not a regular file`;
    if (found && !isOurs(found))
      return `${path} can be written by others: remove it, or make it root's (chown root, chmod go-w)`;
  }
  return undefined;
}

function isOurs({ uid, mode }: Stats): boolean {
  return (uid === 0 || uid === process.geteuid?.()) && (mode & GROUP_OR_OTHERS_WRITE) === 0;
}
