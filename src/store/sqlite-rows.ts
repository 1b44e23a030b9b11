/** Rows in a table of the state's SQLite file: a statement an operation, each its own transaction. */

import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { inTransaction } from './database.ts';
import type { RowShape, Rows } from './rows.ts';

export function openSqliteRows<Row extends Key, Key>(
  database: DatabaseSync,
  shape: RowShape<Row, Key>,
): Rows<Row, Key> {
  const { table, key, columns, read } = shape;
  const holes = columns.map(() => '?').join(', ');
  const match = key.map((column) => `${column} = ?`).join(' AND ');
  const put = database.prepare(`INSERT OR REPLACE INTO ${table} (${columns.join(', ')}) VALUES (${holes})`);
  const end = database.prepare(`DELETE FROM ${table} WHERE ${match}`);
  const get = database.prepare(`SELECT ${columns.join(', ')} FROM ${table} WHERE ${match}`);
  const all = database.prepare(`SELECT ${columns.join(', ')} FROM ${table} ORDER BY ${key.join(', ')}`);
  const clear = database.prepare(`DELETE FROM ${table}`);
  const valuesOf = (row: Row): SQLInputValue[] => columns.map((column) => (row[column] ?? null) as SQLInputValue);
  const keyOf = (row: Key): SQLInputValue[] => key.map((column) => row[column] as SQLInputValue);
  return {
    put: (row) => void put.run(...valuesOf(row)),
    end: (row) => end.run(...keyOf(row)).changes === 1,
    get: (row) => {
      const found = get.get(...keyOf(row));
      return found && read(found);
    },
    all: () => all.all().map(read),
    replace: (rows) =>
      inTransaction(database, () => {
        clear.run();
        for (const row of rows) put.run(...valuesOf(row));
      }),
  };
}
