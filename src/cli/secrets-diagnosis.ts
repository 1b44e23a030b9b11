/**
 * Who besides root can read or change what has the knocks in it: the configuration and the copies of it that lie beside it, and the files
 * of the state. Who can read the steps can open the door; who can write them owns it.
 */

import { readdirSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { broken, type Diagnosis, ok, warning } from './diagnosis.ts';
import { judgeState } from './state-lint.ts';

const READ = 0o4;
const WRITE = 0o2;
const SEARCH = 0o1;

/** `shown` is the file as the user names it. */
export function* judgeConfigFile(file: string, shown: string): Generator<Diagnosis> {
  const mode = modeOf(file);
  if (mode !== undefined) {
    if (mode & 0o022) yield broken('secrets', `Others can change ${shown}`, `chmod go-w ${shown}`);
    else if (mode & 0o044)
      yield warning('secrets', `Others can read ${shown}, and with it the knocks`, `chmod 600 ${shown}`);
    else yield ok('secrets', `${shown} is safe from others`);
  }
  // What was tried and not confirmed, and what people and editors keep.
  const copies = namesIn(dirname(file)).filter(
    (name) => name !== basename(file) && (name.startsWith(`${basename(file)}.`) || name === `${basename(file)}~`),
  );
  yield* judgeFiles(dirname(file), copies, 'with it knocks, old ones or new');
}

/** The folder of the state and what is in it; nothing where there is none, or nobody may look. */
export function* judgeStateFolder(folder: string): Generator<Diagnosis> {
  if (modeOf(folder) === undefined) return;
  const state = judgeState(folder);
  const found = [
    ...(state ? [broken('secrets', state.message, state.hint)] : []),
    ...judgeFiles(folder, namesIn(folder), 'with it the knocks, or who came'),
  ];
  yield* found.length > 0 ? found : [ok('secrets', `${folder} is safe from others`)];
}

/** One finding for those that others can change, one for those that they can read. */
function* judgeFiles(folder: string, names: readonly string[], what: string): Generator<Diagnosis> {
  const files = names.map((name) => join(folder, name));
  const changed = files.filter((file) => othersMay(file, WRITE));
  const read = files.filter((file) => !changed.includes(file) && othersMay(file, READ));
  if (changed.length > 0) yield broken('secrets', `Others can change ${changed.join(', ')}`, chmod(changed));
  if (read.length > 0) yield warning('secrets', `Others can read ${read.join(', ')}, and ${what}`, chmod(read));
}

function chmod(files: readonly string[]): string {
  return `chmod 600 ${files.join(' ')}`;
}

/** A plain file, by its group or by everybody, who get as far as its folder. */
function othersMay(file: string, right: number): boolean {
  const about = statusOf(file);
  const folder = modeOf(dirname(file)) ?? 0;
  if (!about?.isFile()) return false;
  const may = (shift: number): boolean => ((about.mode >> shift) & right) !== 0 && ((folder >> shift) & SEARCH) !== 0;
  // Group 0 is root's.
  return may(0) || (may(3) && about.gid !== 0);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function modeOf(path: string): number | undefined {
  return statusOf(path)?.mode;
}

function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
