/**
 * A program started by posix_spawn(3), in a session of its own. Node's spawn forks, and copying the page tables of a runtime is the
 * longest part of the way from a knock to its command (1.5 to 3 ms, growing with the heap); posix_spawn lends the child our memory until
 * it executes (0.3 ms). Its end is told by a pidfd (pidfd_open(2), Linux 5.3); Node collects only children of its own.
 */

import { constants } from 'node:os';
import { close, collectChild, type ReadableWatch, spawnSession, syscall, watchReadable } from './libc.ts';

/** How a program ended: an exit status, or the signal that ended it, or why it could not be started. */
export type Ending = { readonly status: number } | { readonly signal: string } | { readonly failed: string };

export interface RunningProgram {
  readonly pid: number | undefined;
  readonly ended: Promise<Ending>;
  kill(signal: NodeJS.Signals): void;
}

/** The same number on every machine. */
const PIDFD_OPEN = 434;
const POLL_PAUSE = 100;
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

/** Starts the program with this process's environment and descriptors 0 to 2. A start that fails is how it ended; never throws. */
export function startSession(file: string, argv: readonly string[]): RunningProgram {
  let pid: number;
  try {
    pid = spawnSession(file, argv, environment());
  } catch (error) {
    return { pid: undefined, ended: Promise.resolve({ failed: (error as Error).message }), kill: () => {} };
  }
  let over = false;
  const ended = new Promise<Ending>((resolve) => {
    /** False while it still runs. */
    const collect = (): boolean => {
      let status: number | undefined;
      try {
        status = collectChild(pid);
        if (status === undefined) return false;
      } catch {
        // ECHILD: somebody else collected it. How it ended is lost; that it ended is not.
      }
      over = true;
      resolve(status === undefined ? { failed: 'somebody else was told how it ended' } : endingOf(status));
      return true;
    };
    try {
      watchEnd(pid, collect);
    } catch {
      // No descriptor left for this: the program runs, and is asked for from time to time.
      pollEnd(collect);
    }
  });
  const kill = (signal: NodeJS.Signals): void => {
    if (!over) process.kill(pid, signal);
  };
  return { pid, ended, kill };
}

function watchEnd(pid: number, collect: () => boolean): void {
  const pidfd = openPidfd(pid);
  try {
    const leave = (): void => {
      watches.delete(watch);
      watch.close();
      close(pidfd);
      if (!collect()) pollEnd(collect);
    };
    const watch = watchReadable(pidfd, leave, leave);
    watches.add(watch);
  } catch (error) {
    close(pidfd);
    throw error;
  }
}

function pollEnd(collect: () => boolean): void {
  const timer = setInterval(() => collect() && clearInterval(timer), POLL_PAUSE);
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
