/**
 * The pid file of a daemon: `PID` and a newline, locked for as long as the daemon lives, removed by its owner only.
 *
 * Everybody may read the file, and so lock it: a lock says that the daemon runs only if the process in the file does, under our own
 * user id. Otherwise the file is left to whoever holds it and another one made.
 */

import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { tryLock } from '../platform/libc.ts';

export interface PidFile {
  /** Removes the file, unless it is not ours any more. */
  readonly remove: () => void;
}

/** Another daemon holds the file. */
export class PidFileTaken extends Error {
  override readonly name = 'PidFileTaken';
}

/** Creates and locks the file; throws `PidFileTaken`, or the system's error when it cannot be written. */
export function writePidFile(path: string, tries = 10): PidFile {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o666);
  const locked = tryLock(fd);
  if (locked && !isStillThere(path, fd)) {
    // Its last owner removed it between our two calls.
    closeSync(fd);
    return writePidFile(path, tries);
  }
  if (!locked) {
    const text = readFileSync(path, 'utf8').trim();
    const pid = /^[1-9]\d*$/.test(text) ? Number(text) : undefined;
    closeSync(fd);
    if (tries > 0 && pid !== undefined && !isOurs(pid)) {
      unlinkSync(path);
      return writePidFile(path, tries - 1);
    }
    throw new PidFileTaken(`knockd is already running (pid ${pid ?? 'unknown'}): it holds the pid file ${path}`);
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`, 0);
  return {
    remove: () => {
      try {
        if (isStillThere(path, fd)) unlinkSync(path);
      } catch {
        // A read-only disk by now: the lock goes with us all the same.
      }
      closeSync(fd);
    },
  };
}

/** Does the process live, as the user that we are? Where there is no /proc, whoever lives counts. */
function isOurs(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const entry = statSync(`/proc/${pid}`, { throwIfNoEntry: false });
  return entry === undefined || entry.uid === process.getuid?.();
}

function isStillThere(path: string, fd: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
}
