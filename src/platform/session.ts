/**
 * A program started by posix_spawn(3), in a session of its own. Node's spawn forks, and copying the page tables of a runtime is the
 * longest part of the way from a knock to its command (1.5 to 3 ms, growing with the heap); posix_spawn lends the child our memory until
 * it executes (0.3 ms). Its end is told by a pidfd (pidfd_open(2), Linux 5.3); Node collects only children of its own.
 */

import { constants } from 'node:os';
import { close, type ReadableWatch, SystemError, spawnSession, syscall, waitpid, watchReadable } from './libc.ts';

/** How a program ended: an exit status, or the signal that ended it, or why it could not be started. */
export type Ending = { readonly status: number } | { readonly signal: string } | { readonly failed: string };

export interface RunningProgram {
  readonly pid: number | undefined;
  readonly ended: Promise<Ending>;
  kill(signal: NodeJS.Signals): void;
}

/** The same number on every machine. */
const PIDFD_OPEN = 434;
let able: boolean | undefined;
/** A watch that nobody holds is collected. */
const watches = new Set<ReadableWatch>();

/** Linux with pidfd_open, not forbidden by a sandbox around us. */
export function canSpawnSessions(): boolean {
  if (able === undefined) {
    try {
      able = process.platform === 'linux';
      if (able) close(openPidfd(process.pid));
    } catch {
      able = false;
    }
  }
  return able;
}

/** Starts the program with this process's environment and descriptors 0 to 2. A start that fails is how it ended. */
export function startSession(file: string, argv: readonly string[]): RunningProgram {
  let pid: number;
  try {
    pid = spawnSession(file, argv, environment());
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return { pid: undefined, ended: Promise.resolve({ failed: error.message }), kill: () => {} };
  }
  let over = false;
  const ended = new Promise<Ending>((resolve) => {
    const pidfd = openPidfd(pid);
    const watch = watchReadable(pidfd, () => {
      watches.delete(watch);
      watch.close();
      close(pidfd);
      over = true;
      resolve(endingOf(waitpid(pid)));
    });
    watches.add(watch);
  });
  const kill = (signal: NodeJS.Signals): void => {
    if (!over) process.kill(pid, signal);
  };
  return { pid, ended, kill };
}

function openPidfd(pid: number): number {
  return syscall('pidfd_open', PIDFD_OPEN, pid, 0);
}

function environment(): string[] {
  return Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
}

/** WIFEXITED, WEXITSTATUS and WTERMSIG of wait(2). */
function endingOf(status: number): Ending {
  const signal = status & 0x7f;
  if (signal === 0) return { status: (status >>> 8) & 0xff };
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  return { signal: name ?? `signal ${signal}` };
}
