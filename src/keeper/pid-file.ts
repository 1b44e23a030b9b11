/** The pid file of a daemon: `PID` and a newline, locked for as long as the daemon lives, removed by its owner only. */

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
export function writePidFile(path: string): PidFile {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o666);
  const locked = tryLock(fd);
  if (locked && !isStillThere(path, fd)) {
    // Its last owner removed it between our two calls.
    closeSync(fd);
    return writePidFile(path);
  }
  if (!locked) {
    const pid = readFileSync(path, 'utf8').trim();
    closeSync(fd);
    throw new PidFileTaken(
      `knockd is already running (pid ${/^\d+$/.test(pid) ? pid : 'unknown'}): it holds the pid file ${path}`,
    );
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

function isStillThere(path: string, fd: number): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
}
