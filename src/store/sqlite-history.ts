/**
 * History in the state's SQLite file. An entry costs one row in the table and one in each of three indexes (door, source, kind); a batch is
 * one transaction. Since numbers are never less than their time in microseconds, "since" is a range of the primary key, and needs no index.
 */

import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { type HistoryEntry, type HistoryType, STRANGERS } from '../core/history.ts';
import { DamagedState, numberIn, optionalTextIn, textIn, viaIn } from './columns.ts';
import { inTransaction } from './database.ts';
import { type HistoryQuery, type HistoryStore, lowestId } from './history-store.ts';

export function openSqliteHistory(database: DatabaseSync): HistoryStore {
  const insert = database.prepare(`INSERT INTO history (${COLUMNS}, stranger) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const last = database.prepare('SELECT max(id) AS last FROM history');
  const count = database.prepare('SELECT count(*) AS count FROM history WHERE stranger = ?');
  const trimOld = database.prepare(`DELETE FROM history WHERE id IN
    (SELECT id FROM history WHERE id < ? ORDER BY id LIMIT ?) RETURNING stranger`);
  const trimMany = database.prepare(`DELETE FROM history WHERE id IN
    (SELECT id FROM history WHERE stranger = ? ORDER BY id LIMIT ?)`);
  const pages =
    database.prepare(`SELECT (p.page_count - f.freelist_count) * s.page_size AS used, f.freelist_count AS free
    FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`);
  const searches = new Map<string, StatementSync>();
  const counts = [0, 1].map((stranger) => numberIn(count.get(stranger) ?? {}, 'count'));

  const search = (query: HistoryQuery, bounds: Bounds): readonly HistoryEntry[] => {
    const { where, values } = conditions(query, bounds);
    const sql = `SELECT ${COLUMNS} FROM history${where} ORDER BY id ${bounds.after === undefined ? 'DESC' : 'ASC'} LIMIT ?`;
    let statement = searches.get(sql);
    if (!statement) {
      if (searches.size >= MOST_SEARCHES) searches.clear();
      statement = database.prepare(sql);
      searches.set(sql, statement);
    }
    return statement.all(...values, bounds.limit).flatMap(readable);
  };

  return {
    last: () => Number(last.get()?.last ?? 0),
    write: (batch) => {
      const added = [0, 0];
      inTransaction(database, () => {
        for (const entry of batch) {
          const stranger = Number(STRANGERS.has(entry.type));
          insert.run(...valuesOf(entry), stranger);
          added[stranger]!++;
        }
      });
      for (const stranger of [0, 1]) counts[stranger]! += added[stranger]!;
    },
    latest: (query, limit, before) => search(query, { limit, ...(before !== undefined && { before }) }),
    following: (after, query, limit) => search(query, { limit, after }),
    trim: (retention, wallNow, most) => {
      const old = trimOld.all(lowestId(wallNow - retention.age), most);
      for (const { stranger } of old) counts[Number(stranger)]!--;
      let more = old.length === most;
      const { used, free } = pages.get() as { used: number; free: number };
      const tooLarge = used > retention.bytes;
      const larger = counts[1]! >= counts[0]! ? 1 : 0;
      for (const stranger of [0, 1]) {
        const overNumber = counts[stranger]! - Math.floor(retention.entries / 2);
        const overSize = tooLarge && stranger === larger ? most : 0;
        const excess = Math.max(overNumber, overSize);
        if (excess <= 0) continue;
        counts[stranger]! -= Number(trimMany.run(stranger, Math.min(excess, most)).changes);
        more ||= overNumber > most || (tooLarge && counts[stranger]! > 0);
      }
      if (free > SPARE_PAGES) database.exec(`PRAGMA incremental_vacuum(${most})`);
      return more;
    },
  };
}

const COLUMNS = 'id, time, type, door, source, reason, via, user, detail';
const MOST_SEARCHES = 64;
/** Free pages that the file keeps for what comes next. */
const SPARE_PAGES = 256;

interface Bounds {
  readonly limit: number;
  readonly after?: number;
  readonly before?: number;
}

function conditions(query: HistoryQuery, { after, before }: Bounds): { where: string; values: SQLInputValue[] } {
  const terms: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (term: string, ...operands: SQLInputValue[]): void => {
    terms.push(term);
    values.push(...operands);
  };
  for (const column of ['door', 'user', 'reason'] as const) {
    const value = query[column];
    if (value !== undefined) add(`${column} = ?`, value);
  }
  const { sources, types, since } = query;
  if (sources !== undefined) add(`source IN (${sources.map(() => '?').join(', ')})`, ...sources);
  if (types !== undefined) {
    add(`type IN (${types.map(() => '?').join(', ')})`, ...types);
    // What is asked for most, who was let in, is not to be searched for among what a flood has left.
    const strangers = types.filter((type) => STRANGERS.has(type)).length;
    if (strangers === 0) add('stranger = 0');
    else if (strangers === types.length) add('stranger = 1');
  }
  if (since !== undefined) add('id >= ? AND time >= ?', lowestId(since), since);
  if (after !== undefined) add('id > ?', after);
  if (before !== undefined) add('id < ?', before);
  return { where: terms.length === 0 ? '' : ` WHERE ${terms.join(' AND ')}`, values };
}

function valuesOf(entry: HistoryEntry): SQLInputValue[] {
  const { id, time, type, door = null, source = null, reason = null, via = null, user = null, detail = null } = entry;
  return [id, time, type, door, source, reason, via, user, detail];
}

/** An entry that was damaged is left out: it must not hide the others. */
function readable(row: Record<string, unknown>): readonly HistoryEntry[] {
  try {
    return [toEntry(row)];
  } catch (error) {
    if (error instanceof DamagedState) return [];
    throw error;
  }
}

function toEntry(row: Record<string, unknown>): HistoryEntry {
  return {
    id: numberIn(row, 'id'),
    time: numberIn(row, 'time'),
    // What a later version wrote is shown as it is.
    type: textIn(row, 'type') as HistoryType,
    ...optionalTextIn(row, 'door'),
    ...optionalTextIn(row, 'source'),
    ...optionalTextIn(row, 'reason'),
    ...(row.via !== null && { via: viaIn(row) }),
    ...optionalTextIn(row, 'user'),
    ...optionalTextIn(row, 'detail'),
  };
}
