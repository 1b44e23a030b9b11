/**
 * Who begins, confirms or takes back a trial holds this lock meanwhile: there is one trial at a time, and it ends once. An advisory lock
 * (flock(2)), so that it cannot outlive its holder, however he died.
 */

import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { tryLock } from '../platform/libc.ts';

/** What others hold the lock for, unless they take a change back: a few files are read and renamed. */
const PATIENCE = 2000;
const LOOK_EVERY = 20;

/** Takes the lock without waiting: its release, or undefined when somebody else has it. Throws what the disk refuses. */
export function lockTrial(folder: string): { readonly release: () => void } | undefined {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const fd = openSync(join(folder, 'trial.lock'), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    if (tryLock(fd)) return { release: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return undefined;
}

/** Runs `act` with the lock held; `busy` when somebody keeps it, which is who takes a change back. Blocks: for commands, not for daemons. */
export function whileLocked<T>(folder: string, act: () => T, patience = PATIENCE): T | 'busy' {
  for (let waited = 0; ; waited += LOOK_EVERY) {
    const lock = lockTrial(folder);
    if (lock) {
      try {
        return act();
      } finally {
        lock.release();
      }
    }
    if (waited >= patience) return 'busy';
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY);
  }
}
