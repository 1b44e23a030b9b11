/**
 * What stands at the moment, one row a key: grants, bans, who is allowed, closes that are still to come. One port for all;
 * `sqlite-rows.ts` on disk, `memory-rows.ts` without, `mirrored-rows.ts` both, so that doors work while the disk does not.
 *
 * Times are wall time in milliseconds since 1970, together with the length they were made of: `timeLeft` bounds the one by the other.
 */

import type { Via } from '../core/history.ts';
import { numberIn, optionalTextIn, textIn, viaIn } from './columns.ts';

/** Every method is synchronous and, on disk, proof against the death of the process when it returns. Failures throw. */
export interface Rows<Row extends Key, Key> {
  /** Writes the row, or replaces the one of the same key: beginning and renewing are the same. */
  put(row: Row): void;
  /** False when there is none. */
  end(key: Key): boolean;
  get(key: Key): Row | undefined;
  /** In the order of their keys. */
  all(): readonly Row[];
  /** Makes these rows the only ones, in one step. */
  replace(rows: readonly Row[]): void;
}

export interface DoorKey {
  readonly door: string;
  /** As `printAddress` prints it. */
  readonly source: string;
}

/** A door open for a source. Written before the door opens. */
export interface GrantRow extends DoorKey {
  readonly opened: number;
  readonly until: number;
  /** Milliseconds from the opening or the last renewal to `until`. */
  readonly longest: number;
  readonly via: Via;
  readonly user?: string;
  /** Who knocked, or was named, where the grant is for a network around him: as `printAddress` prints it. */
  readonly knocker?: string;
}

/** A door that we have to close, since the driver's kernel does not. Stays until it is closed, whatever becomes of the grant. */
export interface CloseRow extends DoorKey {
  /** The driver that opened it: a later configuration does not change where it is open. */
  readonly driver: string;
  readonly due: number;
  readonly longest: number;
}

export interface SourceKey {
  /** As `printAddress` prints it. */
  readonly source: string;
}

/** A source that is banned, or allowed. */
export interface SourceRow extends SourceKey {
  readonly until: number;
  readonly longest: number;
  readonly via: Via;
  readonly user?: string;
  /** In words; empty when there is none. */
  readonly reason: string;
}

export interface FactKey {
  readonly name: string;
}

/** What else has to be known at the next start. */
export interface FactRow extends FactKey {
  readonly value: string;
}

export type FactRows = Rows<FactRow, FactKey>;
export type GrantRows = Rows<GrantRow, DoorKey>;
export type CloseRows = Rows<CloseRow, DoorKey>;
export type SourceRows = Rows<SourceRow, SourceKey>;

/** How rows of one kind are kept: the table, its columns, which of them are the key. Both kinds of store are made from it. */
export interface RowShape<Row extends Key, Key> {
  readonly table: 'grants' | 'closes' | 'bans' | 'allowed' | 'facts';
  readonly key: readonly (keyof Key & string)[];
  readonly columns: readonly (keyof Row & string)[];
  /** A row as it came from the disk. Throws `DamagedState`. */
  readonly read: (row: Record<string, unknown>) => Row;
}

export const GRANTS: RowShape<GrantRow, DoorKey> = {
  table: 'grants',
  key: ['door', 'source'],
  columns: ['door', 'source', 'opened', 'until', 'longest', 'via', 'user', 'knocker'],
  read: (row) => ({
    door: textIn(row, 'door'),
    source: textIn(row, 'source'),
    opened: numberIn(row, 'opened'),
    until: numberIn(row, 'until'),
    longest: numberIn(row, 'longest'),
    via: viaIn(row),
    ...optionalTextIn(row, 'user'),
    ...optionalTextIn(row, 'knocker'),
  }),
};

export const CLOSES: RowShape<CloseRow, DoorKey> = {
  table: 'closes',
  key: ['door', 'source'],
  columns: ['door', 'source', 'driver', 'due', 'longest'],
  read: (row) => ({
    door: textIn(row, 'door'),
    source: textIn(row, 'source'),
    driver: textIn(row, 'driver'),
    due: numberIn(row, 'due'),
    longest: numberIn(row, 'longest'),
  }),
};

function sourcesIn(table: 'bans' | 'allowed'): RowShape<SourceRow, SourceKey> {
  return {
    table,
    key: ['source'],
    columns: ['source', 'until', 'longest', 'via', 'user', 'reason'],
    read: (row) => ({
      source: textIn(row, 'source'),
      until: numberIn(row, 'until'),
      longest: numberIn(row, 'longest'),
      via: viaIn(row),
      ...optionalTextIn(row, 'user'),
      reason: textIn(row, 'reason'),
    }),
  };
}

export const BANS = sourcesIn('bans');
export const ALLOWED = sourcesIn('allowed');

export const FACTS: RowShape<FactRow, FactKey> = {
  table: 'facts',
  key: ['name'],
  columns: ['name', 'value'],
  read: (row) => ({ name: textIn(row, 'name'), value: textIn(row, 'value') }),
};
