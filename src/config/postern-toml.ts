/**
 * postern.toml: text in, doors and settings out, or every problem of the file at once, each with its line and a way out.
 * An `error` stops a start, a warning never does. A slip makes one problem: after it, the reading goes on as it was probably meant.
 */

import * as v from 'valibot';
import type { PosternConfig, PosternDoor } from './postern-config.ts';
import { lintBans, lintDoors } from './postern-lint.ts';
import { directoryOf, judgeDoor, judgeSettings, lowerDoors, lowerSettings } from './postern-lower.ts';
import { type DoorDraft, door as doorSchema, type PosternDraft, posternSchema } from './postern-schema.ts';
import { finding, type Problem } from './problem.ts';
import { isTable } from './schema-parts.ts';
import { explainIssue, findLacks, type PathFinding } from './schema-problems.ts';
import { shapeOf } from './schema-shape.ts';
import { doorName } from './schema-values.ts';
import { findStrangeKeys } from './strange-keys.ts';
import { lintSurroundings, type Surroundings } from './surroundings-lint.ts';
import { judgeTarpit } from './tarpit-lint.ts';
import { locateKeys, type Path, type Positions } from './toml-positions.ts';
import { readToml } from './toml-syntax.ts';

export interface PosternTomlOptions {
  /** The file's name, for problems. */
  readonly file: string;
  /** What relative paths in the file count from; the directory of `file` unless given. */
  readonly directory?: string;
  /** What is known of the host; steps are held against it. */
  readonly surroundings?: Surroundings;
}

export type PosternTomlResult =
  | { readonly ok: true; readonly config: PosternConfig; readonly problems: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

const SHAPE = shapeOf(posternSchema);
/** The tables around a key, at most: door, its name, knock. */
const DEEPEST = 3;

/** Reads a configuration file. Never throws: what is wrong is in the result, in the order of the lines. */
export function parsePosternToml(text: string | Uint8Array, options: PosternTomlOptions): PosternTomlResult {
  const problems: Problem[] = [];
  const report = (line: number, about: PathFinding['about']): void => {
    problems.push({ ...about, file: options.file, line });
  };
  const decoded = typeof text === 'string' ? text : decode(text);
  if (decoded === undefined) {
    report(badLine(text as Uint8Array), finding('error', 'Cannot read the file: it is not UTF-8', 'Save it as UTF-8'));
    return { ok: false, problems };
  }
  const { values, text: mended, findings, dropped } = readToml(decoded);
  for (const { line, about } of findings) report(line, about);
  if (!values) return { ok: false, problems };
  const positions = locateKeys(mended);
  const config = read(values, options, positions, dropped, ({ path, about }) => report(positions.lineOf(path), about));
  problems.sort((x, y) => x.line - y.line);
  if (problems.some(({ severity }) => severity === 'error')) return { ok: false, problems };
  return { ok: true, config, problems };
}

/** The configuration as far as it can be had; whole when nothing was reported as an error. */
function read(
  values: Readonly<Record<string, unknown>>,
  { file, directory = directoryOf(file), surroundings = {} }: PosternTomlOptions,
  positions: Positions,
  dropped: readonly Path[],
  report: (found: PathFinding) => void,
): PosternConfig {
  let errors = 0;
  const tell = (found: PathFinding): void => {
    if (found.about.severity === 'error') errors++;
    report(found);
  };
  const unsure = reportValues(values, dropped, tell);
  const drafts = readDoors(values);
  const settings = lowerSettings(readSettings(values), directory);
  for (const found of judgeSettings(settings)) tell(found);
  for (const [name, draft] of Object.entries(drafts)) for (const found of judgeDoor(name, draft)) tell(found);
  const doors: readonly PosternDoor[] = lowerDoors(drafts, (name) => positions.lineOf(['door', name]));
  for (const found of judgeTarpit({ ...settings, doors }, surroundings)) tell(found);
  const strays = new Map(
    Object.entries(drafts).flatMap(([name, { knock }]) => (knock ? [[name, knock.strays] as const] : [])),
  );
  const lineOf = (path: Path): number => positions.lineOf(path);
  for (const found of lintDoors(doors, { ...settings, surroundings, lineOf, strays, unsure })) tell(found);
  for (const found of lintBans(settings)) tell(found);
  for (const found of lintSurroundings({ ...settings, doors }, surroundings)) tell(found);
  if (errors === 0 && doors.length === 0) {
    tell({
      path: [],
      about: finding('warning', 'The file has no door', 'Add a section such as [door.ssh] with protect = ["tcp/22"]'),
    });
  }
  return { ...settings, doors };
}

/** What is wrong with single keys and values. Returns the doors with a key that nobody understood. */
function reportValues(
  values: Readonly<Record<string, unknown>>,
  dropped: readonly Path[],
  report: (found: PathFinding) => void,
): ReadonlySet<string> {
  const unsure = new Set<string>();
  const excused = new Set<string>();
  const excuse = (path: Path, value?: unknown): void => {
    excused.add(JSON.stringify(path));
    if (path[0] === 'door' && typeof path[1] === 'string') unsure.add(path[1]);
    if (!isTable(value) || path.length > DEEPEST) return;
    for (const [key, inner] of Object.entries(value)) excuse([...path, key], inner);
  };
  for (const path of dropped) excuse(path);
  for (const { table, key, value, meant = [...table, key], about } of findStrangeKeys(SHAPE, values)) {
    report({ path: [...table, key], about });
    excuse(meant, value);
  }
  const { issues = [] } = v.safeParse(posternSchema, values);
  for (const found of [...issues.map((issue) => explainIssue(SHAPE, issue)), ...findLacks(SHAPE, values)]) {
    const table = found.path.slice(0, -1);
    if (!found.missing?.some((key) => excused.has(JSON.stringify([...table, key])))) report(found);
  }
  return unsure;
}

/** The doors that are right by themselves, whatever is wrong with the others. */
function readDoors(values: Readonly<Record<string, unknown>>): Readonly<Record<string, DoorDraft>> {
  const doors: Record<string, DoorDraft> = {};
  if (!isTable(values.door)) return doors;
  for (const [name, value] of Object.entries(values.door)) {
    const reading = v.safeParse(doorSchema, value);
    if (reading.success && v.is(doorName, name)) doors[name] = reading.output;
  }
  return doors;
}

/** The sections around the doors: those that are wrong have their defaults. */
function readSettings(values: Readonly<Record<string, unknown>>): PosternDraft {
  const right = Object.entries(values).filter(
    ([name, value]) => name !== 'door' && v.is(posternSchema, { [name]: value }),
  );
  return v.parse(posternSchema, Object.fromEntries(right));
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** The first line that is not UTF-8. */
function badLine(bytes: Uint8Array): number {
  let start = 0;
  for (let line = 1; ; line++) {
    const end = bytes.indexOf(0x0a, start);
    if (end === -1 || decode(bytes.subarray(start, end)) === undefined) return line;
    start = end + 1;
  }
}
