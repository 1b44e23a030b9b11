/**
 * One process at a time has a state file in its care: the daemon, or the closer that a dead daemon left behind; and the guard of a host: the
 * daemon, or `posternd --guard-only`. An advisory lock (flock(2)) on a file beside it says so and cannot outlive its holder; the file's text
 * says who it is.
 */

import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { createFolder } from '../platform/folder.ts';
import { tryLock } from '../platform/libc.ts';

export type Role = 'daemon' | 'closer' | 'guard';

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
  const fd = openLock(path);
  if (!tryLock(fd)) {
    closeSync(fd);
    return { holder: readHolder(path) };
  }
  try {
    ftruncateSync(fd);
    writeSync(fd, `${process.pid} ${role}\n`);
  } catch {
    // A full or read-only disk: the lock holds without a name.
  }
  return { release: () => closeSync(fd) };
}

/** On a disk that is read-only a lock that is there can still be held. */
function openLock(path: string): number {
  const { O_RDWR, O_APPEND, O_CREAT, O_RDONLY, O_NOFOLLOW } = constants;
  try {
    return openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EROFS') throw error;
    return openSync(path, O_RDONLY | O_NOFOLLOW);
  }
}

/** Who holds the lock of a file, as far as its text says it; undefined when nobody does, or it cannot be told. */
export function holderOf(file: string): Holder | undefined {
  try {
    return readHolder(`${file}.lock`);
  } catch {
    return undefined;
  }
}

/** Between taking the lock and writing its name the holder's predecessor is in the file: one that is dead is nobody. */
function readHolder(path: string): Holder | undefined {
  const match = /^([1-9]\d*) (daemon|closer|guard)\n$/.exec(readFileSync(path, 'utf8'));
  const pid = Number(match?.[1]);
  return match && isAlive(pid) ? { pid, role: match[2] as Role } : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
