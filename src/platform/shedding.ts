/**
 * Giving up what a daemon that is root does not need. Capabilities belong to threads, and Node starts its own before any JavaScript runs:
 * so the main thread gives them up, and the bounding set, and the program replaces itself, under its process id: all its threads are born with
 * the rest. no_new_privs keeps that so where the bounding set may not be cut (a service without CAP_SETPCAP), for all that is started, too.
 */

import { dropCapabilities, holdsMoreThan } from './capabilities.ts';
import { prctl } from './libc.ts';

/** Names the process that has replaced itself: it does not try again, whatever the kernel made of it. */
const MARK = 'POSTERN_SHED';
const PR_SET_NO_NEW_PRIVS = 38;

/** Whether there is more than `keep` to give up, and a way to; false for a program that has replaced itself already. */
export function canShed(keep: readonly number[]): boolean {
  if (process.platform !== 'linux' || !process.execve) return false;
  return process.env[MARK] !== String(process.pid) && holdsMoreThan(keep);
}

/**
 * Replaces this process by itself with no more capabilities than `keep`, and with `env` besides its environment. Returns when there is no way
 * to: a daemon that runs with too much is better than none.
 */
export function shedCapabilities(keep: readonly number[], env: Readonly<Record<string, string>>): void {
  if (!process.execve) return;
  const { pid, execPath, execArgv, argv } = process;
  try {
    dropCapabilities(keep);
    prctl(PR_SET_NO_NEW_PRIVS, 1);
    process.execve(execPath, [execPath, ...execArgv, ...argv.slice(1)], {
      ...process.env,
      ...env,
      [MARK]: String(pid),
    });
  } catch {
    // Not allowed to, or nothing to replace it with: on as it is.
  }
}
