/**
 * The one way to open a state file: SQLite (WAL), readable by its owner only, its tables brought up to date, its pages checked.
 *
 * A commit is in the file before the call returns; `synchronous = NORMAL` makes that proof against the death of the process, not
 * against power loss, which takes the firewall's rules along anyway. What has to be proof against both says `durably`.
 * A damaged file is set aside under another name and a new one begun: better to know of nothing than not to start. A file of a
 * later version is left alone, and so is one that others may write: what it says opens doors and runs commands.
 */

import { closeSync, constants, fchmodSync, openSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createFolder } from '../platform/folder.ts';
import { whyUntrusted } from '../platform/trust.ts';
import { DamagedState } from './columns.ts';
import { MIGRATIONS } from './schema.ts';

export interface Opened<Value> {
  readonly value: Value;
  /** Where a damaged file was put. */
  readonly setAside?: string;
}

/** The file is there, and must not be used: a later version than this one wrote it, or anybody may have. */
export class UnusableState extends Error {
  override readonly name = 'UnusableState';
}

/** How long a start waits for another program that has the file locked, and how long a door does. */
const START_PATIENCE = 2000;
const PATIENCE = 100;

/** A WAL that has grown beyond this (in bytes) is cut back when it has been written to the file. */
const WAL_SIZE = 4 << 20;
/** Pages after which a commit writes the WAL to the file itself; `checkpoint`, in a quiet moment, comes before. */
const WAL_PAGES = 4096;

/**
 * Opens or creates the file and its folder, and reads with `use` what is needed at the start: damage that shows up there counts
 * as well. Throws when the file cannot be read and written, and `UnusableState`.
 */
export function openDatabase<Value>(
  file: string,
  wallNow: number,
  use: (database: DatabaseSync) => Value,
): Opened<Value> {
  createFolder(dirname(file));
  refuseStrangers(file);
  try {
    return { value: openSound(file, use) };
  } catch (error) {
    if (!isDamage(error)) throw error;
    const setAside = putAside(file, wallNow);
    try {
      return { value: openSound(file, use), setAside };
    } catch (again) {
      throw new Error(`${(again as Error).message} (what was there is damaged, it is ${setAside} now)`, {
        cause: again,
      });
    }
  }
}

/** The same, but damage is thrown like everything else, and the folder has to be there. */
export function openSound<Value>(file: string, use: (database: DatabaseSync) => Value): Value {
  keepPrivate(file);
  const database = new DatabaseSync(file, { timeout: START_PATIENCE });
  try {
    // Nothing is written before it is known to be ours, and whole.
    database.exec('PRAGMA cell_size_check = ON');
    check(database);
    const version = versionOf(database);
    if (version === 0) database.exec('PRAGMA auto_vacuum = INCREMENTAL');
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    database.exec(`PRAGMA journal_size_limit = ${WAL_SIZE}; PRAGMA wal_autocheckpoint = ${WAL_PAGES}`);
    migrate(database, version);
    const value = use(database);
    database.exec(`PRAGMA busy_timeout = ${PATIENCE}`);
    return value;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Why a state file is not used, for people: somebody else could have written it. */
export function whyUnusable(file: string): string | undefined {
  return whyUntrusted(file, ['-wal', '-shm', '-journal']);
}

/** Throws when somebody but this user and root could have written the file, or what SQLite reads with it. */
export function refuseStrangers(file: string): void {
  const untrusted = whyUnusable(file);
  if (untrusted !== undefined) throw new UnusableState(untrusted);
}

/** Makes the file where it is missing, and readable by its owner only. */
function keepPrivate(file: string): void {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
  const fd = openSync(file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    fchmodSync(fd, 0o600);
  } finally {
    closeSync(fd);
  }
}

/** Throws when a page of the file is not what SQLite can have written. */
function check(database: DatabaseSync): void {
  const found = database.prepare('PRAGMA quick_check(1)').get()?.quick_check;
  if (found !== 'ok') throw new DamagedState(String(found));
}

/** How many migrations the file has had. */
function versionOf(database: DatabaseSync): number {
  const version = Number(database.prepare('PRAGMA user_version').get()?.user_version);
  if (version <= MIGRATIONS.length) return version;
  throw new UnusableState(`written by a later version (${version}, this one knows ${MIGRATIONS.length})`);
}

function migrate(database: DatabaseSync, version: number): void {
  for (const [index, step] of MIGRATIONS.entries()) {
    if (index < version) continue;
    durably(database, () =>
      inTransaction(database, () => {
        database.exec(step);
        database.exec(`PRAGMA user_version = ${index + 1}`);
      }),
    );
  }
}

/** All of it or nothing. */
export function inTransaction<Value>(database: DatabaseSync, act: () => Value): Value {
  database.exec('BEGIN IMMEDIATE');
  try {
    const value = act();
    database.exec('COMMIT');
    return value;
  } catch (error) {
    // SQLite itself rolls back when the disk is full.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** What is committed meanwhile is on the disk itself when this returns: a power loss does not take it back. Costs an fsync. */
export function durably<Value>(database: DatabaseSync, act: () => Value): Value {
  database.exec('PRAGMA synchronous = FULL');
  try {
    return act();
  } finally {
    database.exec('PRAGMA synchronous = NORMAL');
  }
}

/** Writes the WAL to the file, as far as no reader is in the way. Costs an fsync or two: for quiet moments. */
export function checkpoint(database: DatabaseSync): void {
  database.exec('PRAGMA wal_checkpoint(PASSIVE)');
}

const SQLITE_ERROR = 1;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/** SQLITE_ERROR at the start: a table is not there, or there already, so that the file is not as we made it. */
function isDamage(error: unknown): boolean {
  if (error instanceof DamagedState) return true;
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
  return code === SQLITE_ERROR || code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

/** The WAL goes first: a crash in between must not leave it beside a new file. */
function putAside(file: string, wallNow: number): string {
  const aside = `${file}.damaged-${wallNow}`;
  for (const tail of ['-wal', '-shm']) {
    try {
      renameSync(`${file}${tail}`, `${aside}${tail}`);
    } catch {
      // It had none.
    }
  }
  renameSync(file, aside);
  return aside;
}
