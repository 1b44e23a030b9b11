/**
 * Opens the stop commands on disk that belong to one configuration, taking them over from a closer if one is at work, and those that
 * daemons of other configurations left in the same folder with nobody to run them.
 *
 * What is in the files runs as the daemon's user, so files that others could have written are not read. Where the folder cannot be
 * written the stops live in memory, begun with what can be read there; where another daemon with the same configuration has them, begun
 * with none. Either is said.
 */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createFolder } from '../platform/folder.ts';
import { UnusableState } from '../store/database.ts';
import { openMemoryStops } from '../store/memory-stops.ts';
import { readDatabase } from '../store/reading.ts';
import { openSqliteStops, sqliteStops } from '../store/sqlite-stops.ts';
import type { StopStore } from '../store/stop-store.ts';
import { lockState } from './state-lock.ts';

export interface KeptStops {
  readonly store: StopStore;
  /** Absent when they are in memory. */
  readonly file: string | undefined;
  readonly warnings: readonly string[];
}

const STATE_FILE = /^knockd-[0-9a-f]{16}\.sqlite$/;
const TAKEOVER_TRIES = 150;
/** The lock's file names its last holder for a moment, and one that only looks for strays is gone in a moment. */
const SURE_TRIES = 25;
const TAKEOVER_PAUSE = 20;

/** The state file of a daemon with this configuration file on these interfaces. */
export function stateFile(folder: string, config: string, interfaces: string): string {
  const digest = createHash('sha256').update(`${config}\0${interfaces}`).digest('hex').slice(0, 16);
  return join(folder, `knockd-${digest}.sqlite`);
}

/** What the daemon starts with: never throws, what cannot be had is in the warnings. */
export async function openStops(file: string, pause: (delay: number) => Promise<void>): Promise<KeptStops> {
  try {
    createFolder(dirname(file));
    for (let attempt = 0; ; attempt++) {
      const locked = lockState(file, 'daemon');
      if ('release' in locked) break;
      const { holder } = locked;
      if (holder?.role === 'daemon' && attempt >= SURE_TRIES) {
        return inMemory(`another knockd has this configuration (pid ${holder.pid})`);
      }
      if (attempt === TAKEOVER_TRIES) return inMemory(`${file} is locked`);
      if (holder?.role === 'closer' && attempt % 10 === 0) askToLeave(holder.pid);
      await pause(TAKEOVER_PAUSE);
    }
  } catch (error) {
    return fromMemory(file, error);
  }
  const own = openLockedStops(file);
  return { ...own, warnings: [...own.warnings, ...takeStrays(file, own)] };
}

/** The stops of a file whose lock we hold (or nobody can): on disk, or in memory with what can be read. Never throws. */
export function openLockedStops(file: string): KeptStops {
  try {
    const { store, setAside } = openSqliteStops(file);
    const warnings = setAside ? [`warning: ${file} was damaged: begun anew, the old one is ${setAside}`] : [];
    return { store, file, warnings };
  } catch (error) {
    return fromMemory(file, error);
  }
}

/** Moves the stops of the folder's other files that nobody holds to our own, or copies them where that is memory; returns warnings. */
function takeStrays(ownFile: string, own: KeptStops): readonly string[] {
  const warnings: string[] = [];
  for (const name of othersBeside(ownFile)) {
    const file = join(dirname(ownFile), name);
    try {
      const locked = lockState(file, 'daemon');
      if (!('release' in locked)) continue;
      try {
        const stray = openLockedStops(file);
        warnings.push(...stray.warnings);
        for (const { id, ...stop } of stray.store.all()) {
          own.store.add(stop);
          if (own.file !== undefined) stray.store.remove(id);
        }
        stray.store.close();
      } finally {
        locked.release();
      }
    } catch (error) {
      warnings.push(`warning: cannot take over what ${file} may hold (${(error as Error).message})`);
    }
  }
  return warnings;
}

function othersBeside(file: string): readonly string[] {
  try {
    return readdirSync(dirname(file)).filter((name) => STATE_FILE.test(name) && name !== basename(file));
  } catch {
    return [];
  }
}

function inMemory(why: string, store = openMemoryStops()): KeptStops {
  const warning = `warning: ${why}: pending stop commands would be lost if this process were killed`;
  return { store, file: undefined, warnings: [warning] };
}

function fromMemory(file: string, error: unknown): KeptStops {
  const why = `cannot write ${file} (${(error as Error).message})`;
  try {
    if (error instanceof UnusableState || !existsSync(file)) return inMemory(why);
    return inMemory(why, openMemoryStops(readDatabase(file, (database) => sqliteStops(database).all())));
  } catch (unread) {
    return inMemory(`${why}, nor read it (${(unread as Error).message})`);
  }
}

function askToLeave(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It is gone: the lock is free.
  }
}
