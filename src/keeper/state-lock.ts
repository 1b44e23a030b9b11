/**
 * One process at a time has a state file in its care: the daemon, or the closer that a dead daemon left behind. An advisory lock
 * (flock(2)) on a file beside it says so and cannot outlive its holder; the file's text says who it is.
 */

import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { createFolder } from '../platform/folder.ts';
import { tryLock } from '../platform/libc.ts';

export type Role = 'daemon' | 'closer';

export interface Holder {
  readonly pid: number;
  readonly role: Role;
}

/** Takes the lock and writes down who holds it: the held lock's release, or the present holder (if it can be told). */
export function lockState(
  file: string,
  role: Role,
): { readonly release: () => void } | { readonly holder: Holder | undefined } {
  const path = `${file}.lock`;
  createFolder(dirname(path));
  const fd = openSync(path, 'a+', 0o600);
  if (!tryLock(fd)) {
    closeSync(fd);
    return { holder: readHolder(path) };
  }
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid} ${role}\n`);
  } catch {
    // A full disk: the lock holds without a name.
  }
  return { release: () => closeSync(fd) };
}

function readHolder(path: string): Holder | undefined {
  const match = /^(\d+) (daemon|closer)\n$/.exec(readFileSync(path, 'utf8'));
  return match ? { pid: Number(match[1]), role: match[2] as Role } : undefined;
}
