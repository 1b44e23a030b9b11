/**
 * The tables of a state file, as the steps that lead there. A file's `user_version` says how many it has taken; what was released is
 * never changed, only followed by another step. Text that strangers wrote is in none of them.
 */

/** Every step is one transaction. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE IF NOT EXISTS stops (
    id INTEGER PRIMARY KEY, door TEXT NOT NULL, source TEXT NOT NULL, command TEXT NOT NULL, due REAL NOT NULL, longest REAL NOT NULL
  ) STRICT;
  CREATE TABLE grants (
    door TEXT NOT NULL, source TEXT NOT NULL, opened REAL NOT NULL, until REAL NOT NULL, longest REAL NOT NULL, via TEXT NOT NULL, user TEXT,
    PRIMARY KEY (door, source)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE closes (
    door TEXT NOT NULL, source TEXT NOT NULL, driver TEXT NOT NULL, due REAL NOT NULL, longest REAL NOT NULL,
    PRIMARY KEY (door, source)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE bans (
    source TEXT PRIMARY KEY, until REAL NOT NULL, longest REAL NOT NULL, reason TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- The SHA-256 of each entry. spent_sum is the exclusive or of them all: quick_check does not see a changed key.
  CREATE TABLE spent (digest BLOB PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE spent_sum (sum BLOB NOT NULL) STRICT;
  INSERT INTO spent_sum VALUES (zeroblob(32));
  -- Which file this is; see spent-mark.ts.
  CREATE TABLE identity (id TEXT NOT NULL) STRICT;
  INSERT INTO identity VALUES (lower(hex(randomblob(16))));
  CREATE TABLE history (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, type TEXT NOT NULL, stranger INTEGER NOT NULL,
    door TEXT, source TEXT, reason TEXT, via TEXT, user TEXT, detail TEXT
  ) STRICT;
  CREATE INDEX history_by_door ON history (door);
  CREATE INDEX history_by_source ON history (source);
  CREATE INDEX history_by_stranger ON history (stranger);
  `,
  `ALTER TABLE stops ADD COLUMN starter TEXT; ALTER TABLE stops ADD COLUMN boot TEXT;`,
  `
  ALTER TABLE bans ADD COLUMN via TEXT NOT NULL DEFAULT 'adopted';
  ALTER TABLE bans ADD COLUMN user TEXT;
  CREATE TABLE allowed (
    source TEXT PRIMARY KEY, until REAL NOT NULL, longest REAL NOT NULL, via TEXT NOT NULL, user TEXT, reason TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `ALTER TABLE grants ADD COLUMN knocker TEXT;`,
  `CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;`,
];
