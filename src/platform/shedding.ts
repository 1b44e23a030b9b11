/**
 * Giving up what a daemon that is root does not need. Capabilities belong to threads, and Node starts its own before any JavaScript runs:
 * so the bounding set is cut and the program replaces itself, under its process id, and all its threads are born with the rest.
 */

import { readFileSync } from 'node:fs';
import { dropCapabilities } from './capabilities.ts';

/** Names the process that has replaced itself: it does not try again, whatever the kernel made of it. */
const MARK = 'POSTERN_SHED';

/** Does this process have no capability but these, on any thread that is started from now on? */
export function holdsOnly(keep: readonly number[]): boolean {
  const wanted = keep.reduce((bits, capability) => bits | (1n << BigInt(capability)), 0n);
  return (boundingSet() & ~wanted) === 0n;
}

/**
 * Replaces this process by itself with no more capabilities than `keep`. Returns when there is nothing to give up, or no way to: a daemon that
 * runs with too much is better than none.
 */
export function shedCapabilities(keep: readonly number[]): void {
  const tried = process.env[MARK] === String(process.pid);
  delete process.env[MARK];
  if (tried || process.platform !== 'linux' || !process.execve || holdsOnly(keep)) return;
  try {
    dropCapabilities(keep);
    const env = { ...process.env, [MARK]: String(process.pid) };
    process.execve(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], env);
  } catch {
    // Not allowed to, or nothing to replace it with: on as it is.
  }
}

function boundingSet(): bigint {
  const hex = /^CapBnd:\t([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  return hex === undefined ? 0n : BigInt(`0x${hex}`);
}
