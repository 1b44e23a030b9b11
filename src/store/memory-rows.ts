/** Rows that live as long as the process. */

import type { RowShape, Rows } from './rows.ts';

export function openMemoryRows<Row extends Key, Key>(
  shape: RowShape<Row, Key>,
  initial: readonly Row[] = [],
): Rows<Row, Key> {
  const keyOf = (row: Key): string => shape.key.map((column) => row[column]).join('\0');
  const rows = new Map(initial.map((row) => [keyOf(row), row]));
  return {
    put: (row) => void rows.set(keyOf(row), row),
    end: (key) => rows.delete(keyOf(key)),
    get: (key) => rows.get(keyOf(key)),
    all: () => [...rows].sort(([x], [y]) => (x < y ? -1 : 1)).map(([, row]) => row),
    replace: (next) => {
      rows.clear();
      for (const row of next) rows.set(keyOf(row), row);
    },
  };
}
