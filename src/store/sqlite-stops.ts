/** Pending stops in a state file. */

import type { DatabaseSync } from 'node:sqlite';
import { wallNow } from '../platform/clock.ts';
import { numberIn, optionalTextIn, textIn } from './columns.ts';
import { openDatabase } from './database.ts';
import type { PendingStop, StopStore } from './stop-store.ts';

export interface OpenedStops {
  readonly store: StopStore;
  /** Where a damaged file was put. */
  readonly setAside?: string;
}

/** The stops of a state file that is used for nothing else. Throws when it cannot be written. */
export function openSqliteStops(file: string): OpenedStops {
  const { value, setAside } = openDatabase(file, wallNow(), (database) => {
    const store = { ...sqliteStops(database), close: () => database.close() };
    store.all();
    return store;
  });
  return { store: value, ...(setAside && { setAside }) };
}

/** The stops of a state file that is closed by whoever opened it. */
export function sqliteStops(database: DatabaseSync): StopStore {
  const add = database.prepare(
    'INSERT INTO stops (door, source, command, due, longest, starter, boot) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const postpone = database.prepare('UPDATE stops SET due = ?, longest = ?, starter = ? WHERE id = ?');
  const remove = database.prepare('DELETE FROM stops WHERE id = ?');
  const all = database.prepare(
    'SELECT id, door, source, command, due, longest, starter, boot FROM stops ORDER BY due, id',
  );
  return {
    add: ({ door, source, command, due, longest, starter, boot }) =>
      Number(add.run(door, source, command, due, longest, starter ?? null, boot ?? null).lastInsertRowid),
    postpone: (id, due, longest, starter) => postpone.run(due, longest, starter ?? null, id).changes === 1,
    remove: (id) => void remove.run(id),
    all: () => all.all().map(toStop),
    close: () => {},
  };
}

function toStop(row: Record<string, unknown>): PendingStop {
  return {
    id: numberIn(row, 'id'),
    door: textIn(row, 'door'),
    source: textIn(row, 'source'),
    command: textIn(row, 'command'),
    due: numberIn(row, 'due'),
    longest: numberIn(row, 'longest'),
    ...optionalTextIn(row, 'starter'),
    ...optionalTextIn(row, 'boot'),
  };
}
