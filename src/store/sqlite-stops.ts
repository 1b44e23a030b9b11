/**
 * Pending stops in one SQLite file (WAL), readable by its owner only: the lines hold what a configuration holds.
 *
 * A commit is in the file before the call returns; `synchronous = NORMAL` makes that proof against the death of the process,
 * not against power loss, which takes the firewall's rules along anyway. A damaged file is set aside under another name and a
 * new one begun: better to know of no stop than to know of none and not start.
 */

import { chmodSync, closeSync, mkdirSync, openSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { PendingStop, StopStore } from './stop-store.ts';

export interface OpenedStops {
  readonly store: StopStore;
  /** Where a damaged file was put. */
  readonly setAside?: string;
}

/** Opens or creates the file and its folder. Throws when the folder cannot be written. */
export function openSqliteStops(file: string): OpenedStops {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    return { store: open(file) };
  } catch (error) {
    if (!isDamage(error)) throw error;
    const setAside = `${file}.damaged-${Date.now()}`;
    renameSync(file, setAside);
    for (const tail of ['-wal', '-shm']) {
      try {
        renameSync(`${file}${tail}`, `${setAside}${tail}`);
      } catch {
        // It had none.
      }
    }
    return { store: open(file), setAside };
  }
}

const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

function isDamage(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

function open(file: string): StopStore {
  closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
  const database = new DatabaseSync(file, { timeout: 2000 });
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    database.exec(`CREATE TABLE IF NOT EXISTS stops (
      id INTEGER PRIMARY KEY, door TEXT NOT NULL, source TEXT NOT NULL, command TEXT NOT NULL, due REAL NOT NULL, longest REAL NOT NULL
    ) STRICT`);
    const check = database.prepare('PRAGMA quick_check(1)').get();
    if (check?.quick_check !== 'ok') throw Object.assign(new Error('damaged'), { errcode: SQLITE_CORRUPT });
    const add = database.prepare('INSERT INTO stops (door, source, command, due, longest) VALUES (?, ?, ?, ?, ?)');
    const postpone = database.prepare('UPDATE stops SET due = ? WHERE id = ?');
    const remove = database.prepare('DELETE FROM stops WHERE id = ?');
    const all = database.prepare('SELECT id, door, source, command, due, longest FROM stops ORDER BY due, id');
    return {
      add: (stop) => Number(add.run(stop.door, stop.source, stop.command, stop.due, stop.longest).lastInsertRowid),
      postpone: (id, due) => postpone.run(due, id).changes === 1,
      remove: (id) => void remove.run(id),
      all: () => all.all().map(toStop),
      close: () => database.close(),
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

function toStop(row: Record<string, unknown>): PendingStop {
  return {
    id: Number(row.id),
    door: String(row.door),
    source: String(row.source),
    command: String(row.command),
    due: Number(row.due),
    longest: Number(row.longest),
  };
}
