/**
 * Everything that has to be known after a restart, in one SQLite file of one folder. One process at a time opens it: the lock is the caller's.
 *
 * Nothing about the disk stops a door that cannot be replayed: what is missing or fails is kept in memory, and said. What could be replayed
 * is denied instead (`SpentError`). A file that was damaged is set aside; a file that can only be read is read and left alone.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { HistoryEntry } from '../core/history.ts';
import { mendFolder } from '../platform/trust.ts';
import { checkpoint, openDatabase, UnusableState } from './database.ts';
import { History } from './history.ts';
import type { HistoryStore, Retention } from './history-store.ts';
import { openMemoryHistory } from './memory-history.ts';
import { openMemoryRows } from './memory-rows.ts';
import { openMemoryStops } from './memory-stops.ts';
import { type Mirror, mirrorRows } from './mirrored-rows.ts';
import { readDatabase } from './reading.ts';
import {
  ALLOWED,
  BANS,
  CLOSES,
  type CloseRow,
  type CloseRows,
  FACTS,
  type FactRow,
  type FactRows,
  GRANTS,
  type GrantRow,
  type GrantRows,
  type RowShape,
  type Rows,
  type SourceRow,
  type SourceRows,
} from './rows.ts';
import { markSpending } from './spent-mark.ts';
import { refuseSpending, type SpentStore } from './spent-store.ts';
import { openSqliteHistory } from './sqlite-history.ts';
import { openSqliteRows } from './sqlite-rows.ts';
import { openSqliteSpent } from './sqlite-spent.ts';
import { sqliteStops } from './sqlite-stops.ts';
import type { PendingStop, StopStore } from './stop-store.ts';

export interface State {
  readonly grants: GrantRows;
  readonly closes: CloseRows;
  readonly bans: SourceRows;
  readonly allowed: SourceRows;
  readonly facts: FactRows;
  /** Throws when the disk fails, unlike the rest: its user keeps the stops in memory himself. */
  readonly stops: StopStore;
  readonly spent: SpentStore;
  readonly history: History;
  /** What is wrong with the disk at the moment, for `postern status`; undefined when all is on it. */
  problem(): string | undefined;
  /** Writes what can be written. */
  close(): void;
}

export interface OpenedState {
  readonly state: State;
  /** Where a damaged file was put. */
  readonly setAside?: string;
  /** The disk cannot be written: the state is in memory, begun with what could be read. */
  readonly readOnly?: true;
  /** For the log and for people; whole sentences without an end. */
  readonly warnings: readonly string[];
}

export interface StatePorts {
  readonly wallNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
  /** The disk fails, or works again: a line for the log, once each time. */
  readonly warn: (text: string) => void;
}

/** The state's file in its folder. */
export const STATE_FILE = 'state.sqlite';
/** See `spent-mark.ts`. */
export const MARK_FILE = 'state.mark';

/** Between two rounds of retrying, trimming and writing the WAL to the file. */
const ROUND = 60_000;
/** Between two steps of one round. */
const STEP = 50;
/** Entries that are carried over from a state that can only be read. */
const READ_HISTORY = 10_000;

/** Opens the state in a folder, creating both where they are missing. Never throws: what cannot be had is in the warnings. */
export function openState(folder: string, ports: StatePorts, retention: Retention): OpenedState {
  const file = join(folder, STATE_FILE);
  const mended = mendFolder(folder) ? [`${folder} could be written by its group, and no longer can (chmod g-w)`] : [];
  try {
    const { value, setAside } = openDatabase(file, ports.wallNow(), (database) => read(database, ports));
    const spent = markSpending(value.spent, value.identity, join(folder, MARK_FILE));
    const warnings: string[] = [...mended];
    if (setAside) warnings.push(`${file} was damaged and is begun anew, the old one is ${setAside}`);
    if (spent.refusal) warnings.push(spent.refusal);
    return { state: onDisk(file, value, spent, ports, retention), ...(setAside && { setAside }), warnings };
  } catch (error) {
    const why =
      error instanceof UnusableState ? `${file}: ${error.message}` : `Cannot write ${file}: ${reasonOf(error)}`;
    const [contents, unread] = error instanceof UnusableState ? [NOTHING, []] : readWhatIsThere(file, ports);
    const refusal = `${why}: one-time entries are refused, since their use could not be remembered`;
    return {
      state: inMemory(contents, refuseSpending(refusal), ports, retention, why),
      readOnly: true,
      warnings: [
        ...mended,
        `${why}: grants and history are kept in memory and end with this process`,
        refusal,
        ...unread,
      ],
    };
  }
}

/** A state without a disk, as for a replay; `spent` says whether one-time entries may be used. */
export function openMemoryState(spent: SpentStore, ports: StatePorts, retention: Retention): State {
  return inMemory(NOTHING, spent, ports, retention);
}

interface Contents {
  readonly grants: readonly GrantRow[];
  readonly closes: readonly CloseRow[];
  readonly bans: readonly SourceRow[];
  readonly allowed: readonly SourceRow[];
  readonly facts: readonly FactRow[];
  readonly stops: readonly PendingStop[];
  readonly history: readonly HistoryEntry[];
}

const NOTHING: Contents = { grants: [], closes: [], bans: [], allowed: [], facts: [], stops: [], history: [] };

/** The stores of a file that is open, with what they held: reading it is part of the check. */
function read(database: DatabaseSync, ports: Pick<StatePorts, 'wallNow'>) {
  const grants = openSqliteRows(database, GRANTS);
  const closes = openSqliteRows(database, CLOSES);
  const bans = openSqliteRows(database, BANS);
  const allowed = openSqliteRows(database, ALLOWED);
  const facts = openSqliteRows(database, FACTS);
  const stops = sqliteStops(database);
  const history = openSqliteHistory(database);
  return {
    database,
    disk: { grants, closes, bans, allowed, facts, stops, history },
    contents: {
      grants: grants.all(),
      closes: closes.all(),
      bans: bans.all(),
      allowed: allowed.all(),
      facts: facts.all(),
      stops: stops.all(),
    },
    newest: (count: number) => history.latest({}, count).toReversed(),
    spent: openSqliteSpent(database, ports.wallNow),
    identity: String(database.prepare('SELECT id FROM identity').get()?.id),
  };
}

type Read = ReturnType<typeof read>;

function readWhatIsThere(file: string, ports: StatePorts): [Contents, readonly string[]] {
  try {
    if (!existsSync(file)) return [NOTHING, []];
    const contents = readDatabase(file, (database) => {
      const { contents: rows, newest } = read(database, ports);
      return { ...rows, history: newest(READ_HISTORY) };
    });
    return [contents, []];
  } catch (error) {
    return [NOTHING, [`Cannot read ${file} either: ${reasonOf(error)}`]];
  }
}

function onDisk(
  file: string,
  { database, disk, contents }: Read,
  spent: SpentStore,
  ports: StatePorts,
  retention: Retention,
): State {
  const trouble = new Map<string, string>();
  const watch = (what: string) => ({
    failed: (error: unknown) => {
      if (trouble.size === 0) ports.warn(`Cannot write ${file}: ${reasonOf(error)}: it is kept in memory`);
      trouble.set(what, reasonOf(error));
    },
    caughtUp: () => {
      if (trouble.delete(what) && trouble.size === 0) ports.warn(`${file} is written again`);
    },
  });
  const mirror = <Row extends Key, Key>(shape: RowShape<Row, Key>, rows: readonly Row[], store: Rows<Row, Key>) =>
    mirrorRows(openMemoryRows(shape, rows), store, watch(shape.table));
  const grants = mirror(GRANTS, contents.grants, disk.grants);
  const closes = mirror(CLOSES, contents.closes, disk.closes);
  const bans = mirror(BANS, contents.bans, disk.bans);
  const allowed = mirror(ALLOWED, contents.allowed, disk.allowed);
  const facts = mirror(FACTS, contents.facts, disk.facts);
  const history = new History(disk.history, { ...ports, ...watch('history') }, retention);
  const mirrors: readonly Mirror[] = [grants, closes, bans, allowed, facts];

  let written = totalChanges(database);
  const round = (): number => {
    for (const { retry } of mirrors) retry();
    try {
      if (history.trim()) return STEP;
      const now = totalChanges(database);
      if (now !== written) checkpoint(database);
      written = now;
    } catch {
      // Whoever writes next says so.
    }
    return ROUND;
  };
  const stop = repeat(ports, round);
  return {
    grants,
    closes,
    bans,
    allowed,
    facts,
    stops: disk.stops,
    spent,
    history,
    problem: () => {
      const [reason] = trouble.values();
      if (reason === undefined) return undefined;
      return `Cannot write ${file}: ${reason}: what happens from now on is kept in memory, and ends with this process`;
    },
    close: () => {
      stop();
      for (const { retry } of mirrors) retry();
      history.close();
      database.close();
    },
  };
}

function inMemory(
  contents: Contents,
  spent: SpentStore,
  ports: StatePorts,
  retention: Retention,
  problem?: string,
): State {
  const store: HistoryStore = openMemoryHistory(contents.history);
  const history = new History(store, { ...ports, failed: () => {}, caughtUp: () => {} }, retention);
  const stop = repeat(ports, () => (history.trim() ? STEP : ROUND));
  return {
    grants: openMemoryRows(GRANTS, contents.grants),
    closes: openMemoryRows(CLOSES, contents.closes),
    bans: openMemoryRows(BANS, contents.bans),
    allowed: openMemoryRows(ALLOWED, contents.allowed),
    facts: openMemoryRows(FACTS, contents.facts),
    stops: openMemoryStops(contents.stops),
    spent,
    history,
    problem: () => problem,
    close: () => {
      stop();
      history.close();
    },
  };
}

/** Calls `act` again and again, each time after the delay that the last call returned; the result ends it. */
function repeat(ports: StatePorts, act: () => number): () => void {
  let cancel = (): void => {};
  const wait = (delay: number): void => {
    cancel = ports.after(delay, () => wait(act()));
  };
  wait(STEP);
  return () => cancel();
}

function totalChanges(database: DatabaseSync): number {
  return Number(database.prepare('SELECT total_changes() AS count').get()?.count);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
