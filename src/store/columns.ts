/** Values as they come from the disk, where damage may have put anything: of the type that was written, or it is said. */

import { VIAS, type Via } from '../core/history.ts';

export type Row = Readonly<Record<string, unknown>>;

/** What was read is not what can have been written. */
export class DamagedState extends Error {
  override readonly name = 'DamagedState';
}

export function textIn(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new DamagedState(`${column} is no text`);
  return value;
}

/** The property, or none where the column is empty; to be spread. */
export function optionalTextIn<Name extends string>(row: Row, column: Name): { readonly [key in Name]?: string } {
  if (row[column] === null) return {};
  return { [column]: textIn(row, column) } as { [key in Name]: string };
}

export function numberIn(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new DamagedState(`${column} is no number`);
  return value;
}

/** A way of opening; of one that this version does not know, no more than that the grant stands. */
export function viaIn(row: Row): Via {
  const text = textIn(row, 'via');
  return VIAS.find((via) => via === text) ?? 'adopted';
}
