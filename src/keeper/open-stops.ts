/**
 * Opens the stop commands on disk that belong to one configuration, taking them over from a closer if one is at work. Where the
 * folder cannot be written, or another daemon with the same configuration has them, they live in memory, and that is said.
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { openMemoryStops } from '../store/memory-stops.ts';
import { openSqliteStops } from '../store/sqlite-stops.ts';
import type { StopStore } from '../store/stop-store.ts';
import { lockState } from './state-lock.ts';

export interface KeptStops {
  readonly store: StopStore;
  /** Absent when they are in memory. */
  readonly file: string | undefined;
  readonly warnings: readonly string[];
}

const TAKEOVER_TRIES = 150;
const TAKEOVER_PAUSE = 20;

/** The state file of a daemon with this configuration file on these interfaces. */
export function stateFile(folder: string, config: string, interfaces: string): string {
  const digest = createHash('sha256').update(`${config}\0${interfaces}`).digest('hex').slice(0, 16);
  return join(folder, `knockd-${digest}.sqlite`);
}

export async function openStops(file: string, pause: (delay: number) => Promise<void>): Promise<KeptStops> {
  const inMemory = (why: string): KeptStops => ({
    store: openMemoryStops(),
    file: undefined,
    warnings: [`warning: ${why}: pending stop commands would be lost if this process were killed`],
  });
  try {
    for (let attempt = 0; ; attempt++) {
      const locked = lockState(file, 'daemon');
      if ('release' in locked) break;
      const { holder } = locked;
      if (holder?.role === 'daemon') return inMemory(`another knockd has this configuration (pid ${holder.pid})`);
      if (attempt === TAKEOVER_TRIES) return inMemory(`${file} is locked`);
      if (holder && attempt % 10 === 0) askToLeave(holder.pid);
      await pause(TAKEOVER_PAUSE);
    }
    const { store, setAside } = openSqliteStops(file);
    const warnings = setAside ? [`warning: ${file} was damaged: begun anew, the old one is ${setAside}`] : [];
    return { store, file, warnings };
  } catch (error) {
    return inMemory(`cannot write ${file} (${(error as Error).message})`);
  }
}

function askToLeave(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It is gone: the lock is free.
  }
}
