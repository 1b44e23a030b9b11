/**
 * Spent entries in the state's SQLite file, as SHA-256 digests: the file does not tell what was knocked.
 *
 * SQLite's check sees a damaged page, not a damaged value in a sound one, which here would make an entry good again. So the exclusive or
 * of all digests is kept beside them, in the same transaction, and compared at the start.
 */

import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { DamagedState } from './columns.ts';
import { durably, inTransaction } from './database.ts';
import type { CountedSpent } from './spent-mark.ts';
import { SpentError } from './spent-store.ts';

/** Throws `DamagedState` when an entry has changed or is missing. */
export function openSqliteSpent(database: DatabaseSync, wallNow: () => number): CountedSpent {
  const insert = database.prepare('INSERT INTO spent (digest, at) VALUES (?, ?) ON CONFLICT DO NOTHING');
  const readSum = database.prepare('SELECT sum FROM spent_sum');
  const writeSum = database.prepare('UPDATE spent_sum SET sum = ?');
  const sumUp = (): Uint8Array => bytesOf(readSum.get()?.sum);

  const found = new Uint8Array(DIGEST_LENGTH);
  let count = 0;
  for (const { digest } of database.prepare('SELECT digest FROM spent').iterate()) {
    add(found, bytesOf(digest));
    count++;
  }
  if (Buffer.compare(found, sumUp()) !== 0) throw new DamagedState('the spent entries do not add up');

  const spend = (digest: Uint8Array): boolean => {
    if (insert.run(digest, wallNow()).changes === 0) return false;
    const sum = sumUp();
    add(sum, digest);
    writeSum.run(sum);
    return true;
  };
  return {
    get count() {
      return count;
    },
    spend: (entry) => {
      const digest = createHash('sha256').update(entry).digest();
      try {
        const fresh = durably(database, () => inTransaction(database, () => spend(digest)));
        if (fresh) count++;
        return fresh;
      } catch (error) {
        throw new SpentError(`Cannot record a spent entry: ${(error as Error).message}`, { cause: error });
      }
    },
  };
}

const DIGEST_LENGTH = 32;

function add(sum: Uint8Array, digest: Uint8Array): void {
  for (const [index, byte] of digest.entries()) sum[index] = (sum[index] ?? 0) ^ byte;
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length !== DIGEST_LENGTH) throw new DamagedState('a digest is none');
  return value;
}
