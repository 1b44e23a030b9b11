/**
 * A configuration that is in force on trial: what `postern apply` writes down, `postern confirm` takes away, and the rollback finds when nobody
 * did. Files of the state's folder, for root alone; each is replaced in one step, so that a death in between leaves the old or the new.
 */

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface PendingChange {
  /** Names this trial: a rollback of another one leaves it alone. */
  readonly token: string;
  /** The configuration's file. */
  readonly file: string;
  /** What was in force before; null when no daemon ran. */
  readonly previous: string | null;
  /** Wall time in milliseconds since 1970. */
  readonly since: number;
  readonly until: number;
  /** Clients' ends of the sessions that there were before, `192.0.2.7 50123`: none of them can confirm. */
  readonly sessions: readonly string[];
}

/** The configuration that the daemon has in force, as text; undefined when it is not known. */
export function readApplied(folder: string): string | undefined {
  return read(join(folder, 'applied.toml'));
}

export function writeApplied(folder: string, text: string): void {
  write(join(folder, 'applied.toml'), text);
}

/** Nothing of ours is in force any more. */
export function forgetApplied(folder: string): void {
  rmSync(join(folder, 'applied.toml'), { force: true });
}

export function readPending(folder: string): PendingChange | undefined {
  return parse(read(join(folder, 'pending.json')));
}

export function writePending(folder: string, change: PendingChange): void {
  write(join(folder, 'pending.json'), `${JSON.stringify(change)}\n`);
}

/** The trial is over, and the change stays; false when it was over already. */
export function confirmPending(folder: string): boolean {
  if (!readPending(folder)) return false;
  rmSync(join(folder, 'pending.json'), { force: true });
  return true;
}

/** The trial never began: nothing was changed. */
export function withdrawPending(folder: string): void {
  rmSync(join(folder, 'pending.json'), { force: true });
}

/** The trial is over, and the change was taken back. */
export function rejectPending(folder: string): void {
  renameSync(join(folder, 'pending.json'), join(folder, 'rejected.json'));
}

/** The token of the change that was taken back last. */
export function lastRejected(folder: string): string | undefined {
  return parse(read(join(folder, 'rejected.json')))?.token;
}

function parse(text: string | undefined): PendingChange | undefined {
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as Partial<PendingChange>;
    const { token, file, previous, since, until, sessions } = value;
    if (typeof token !== 'string' || typeof file !== 'string' || !Array.isArray(sessions)) return undefined;
    if (typeof since !== 'number' || typeof until !== 'number') return undefined;
    if (previous !== null && typeof previous !== 'string') return undefined;
    return { token, file, previous, since, until, sessions: sessions.map(String) };
  } catch {
    return undefined;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function write(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}
