/**
 * A configuration that is in force on trial: what `postern apply` writes down, `postern confirm` takes away, and the rollback finds when nobody
 * did. Files of the state's folder, for root alone; each is replaced in one step, so that a death in between leaves the old or the new.
 *
 * There is one trial at a time, and it ends once: whoever begins or ends one holds `trial.lock` (trial-lock.ts). How it ended is told by
 * what became of its file, `confirmed.json` or `rejected.json`; that the file is gone tells nothing.
 */

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootId } from '../platform/boot.ts';
import { whileLocked } from './trial-lock.ts';

export interface PendingChange {
  /** Names this trial: a rollback of another one leaves it alone. */
  readonly token: string;
  /** The configuration's file. */
  readonly file: string;
  /** What is tried. */
  readonly tried?: string;
  /** What was in force before; null when no daemon ran. */
  readonly previous: string | null;
  /** Wall time in milliseconds since 1970. */
  readonly since: number;
  readonly until: number;
  /** `since` by the clock of this boot, which nobody sets. */
  readonly began?: number;
  /** Who began it, for people. */
  readonly by?: string;
  /** Which boot of the machine it began in, where the system tells. */
  readonly boot?: string;
  /** Clients' ends of the sessions that there were before, `192.0.2.7 50123`: none of them can confirm. */
  readonly sessions: readonly string[];
}

/** The configuration that the daemon has in force, as text; undefined when it is not known. */
export function readApplied(folder: string): string | undefined {
  return read(join(folder, 'applied.toml'));
}

/** The same, as far as it can still be in force without a daemon: a guard ends with the machine. */
export function readStanding(folder: string): string | undefined {
  return isOfThisBoot(read(join(folder, 'applied.boot'))) ? readApplied(folder) : undefined;
}

export function writeApplied(folder: string, text: string): void {
  write(join(folder, 'applied.toml'), text);
  const [path, boot] = [join(folder, 'applied.boot'), bootId() ?? ''];
  if (read(path) !== boot) write(path, boot);
}

/** Nothing of ours is in force any more. */
export function forgetApplied(folder: string): void {
  for (const name of ['applied.toml', 'applied.boot']) rmSync(join(folder, name), { force: true });
}

/** The trial that goes on. */
export function readPending(folder: string): PendingChange | undefined {
  const change = parse(read(join(folder, 'pending.json')));
  return change && isOfThisBoot(change.boot) ? change : undefined;
}

/** A trial that was neither confirmed nor taken back when the machine went down: its rollback died with everything else. */
export function readInterrupted(folder: string): PendingChange | undefined {
  const change = parse(read(join(folder, 'pending.json')));
  return change && !isOfThisBoot(change.boot) ? change : undefined;
}

export function writePending(folder: string, change: PendingChange): void {
  write(join(folder, 'pending.json'), `${JSON.stringify(change)}\n`);
}

/** Begins a trial, unless another one goes on: that one, or `busy` when it is being taken back. */
export function beginPending(folder: string, change: PendingChange): PendingChange | 'busy' | undefined {
  return whileLocked(folder, () => {
    const other = readPending(folder);
    if (!other) writePending(folder, change);
    return other;
  });
}

/** Sessions that began while the change was put in force: they cannot confirm, either. */
export function addSessions(folder: string, token: string, sessions: readonly string[]): void {
  whileLocked(folder, () => {
    const change = readPending(folder);
    if (change?.token !== token) return;
    writePending(folder, { ...change, sessions: [...new Set([...change.sessions, ...sessions])] });
  });
}

/** The two clocks: `wallNow` and `uptimeNow`. */
export interface Now {
  readonly wall: number;
  readonly uptime: number;
}

/** For how long it goes on, in milliseconds; not more than 0 when its time is over, whether it was taken back or not. */
export function timeLeft({ since, until, began }: PendingChange, { wall, uptime }: Now): number {
  return began === undefined ? until - wall : began + (until - since) - uptime;
}

/** The trial is over, and the change stays. `late` when its time was over, `gone` when the trial was. */
export function confirmPending(folder: string, token: string, now: Now): 'confirmed' | 'late' | 'gone' {
  const ended = whileLocked(folder, () => {
    const change = readPending(folder);
    if (change?.token !== token) return 'gone';
    if (timeLeft(change, now) <= 0) return 'late';
    renameSync(join(folder, 'pending.json'), join(folder, 'confirmed.json'));
    return 'confirmed';
  });
  // Only who takes a change back keeps the lock for long.
  return ended === 'busy' ? 'late' : ended;
}

/** The trial never began: nothing was changed. */
export function withdrawPending(folder: string, token: string): void {
  whileLocked(folder, () => {
    if (readPending(folder)?.token === token) rmSync(join(folder, 'pending.json'), { force: true });
  });
}

/** The trial is over, and the change was taken back. */
export function rejectPending(folder: string): void {
  renameSync(join(folder, 'pending.json'), join(folder, 'rejected.json'));
}

/** The token of the change that was taken back last. */
export function lastRejected(folder: string): string | undefined {
  return parse(read(join(folder, 'rejected.json')))?.token;
}

/** How the trial of this token ended; undefined when it goes on, or that is not known (any more). */
export function outcomeOf(folder: string, token: string): 'confirmed' | 'reverted' | undefined {
  if (lastRejected(folder) === token) return 'reverted';
  return parse(read(join(folder, 'confirmed.json')))?.token === token ? 'confirmed' : undefined;
}

/** Where nobody can tell, it is. */
function isOfThisBoot(boot: string | undefined): boolean {
  const now = bootId();
  return now === undefined || boot === undefined || boot === '' || boot === now;
}

function parse(text: string | undefined): PendingChange | undefined {
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text) as Partial<PendingChange>;
    const { token, file, tried, previous, since, until, began, by, boot, sessions } = value;
    if (typeof token !== 'string' || typeof file !== 'string' || !Array.isArray(sessions)) return undefined;
    if (typeof since !== 'number' || typeof until !== 'number') return undefined;
    if (previous !== null && typeof previous !== 'string') return undefined;
    const more = {
      ...(typeof tried === 'string' && { tried }),
      ...(typeof began === 'number' && { began }),
      ...(typeof by === 'string' && { by }),
      ...(typeof boot === 'string' && { boot }),
    };
    return { token, file, previous, since, until, ...more, sessions: sessions.map(String) };
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
