/** Reads a postern.toml from disk for a program, and tells it from a knockd.conf. */

import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { PosternConfig } from '../config/postern-config.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import { type Problem, printProblem } from '../config/problem.ts';
import type { Surroundings } from '../config/surroundings-lint.ts';
import { driversHere } from '../firewall/drivers.ts';
import { reasonOf } from '../keeper/journal.ts';
import { interfaceNames } from '../platform/interfaces.ts';
import { portsInUse } from '../platform/listeners.ts';
import { localPorts } from '../platform/local-ports.ts';
import { canRun } from '../platform/programs.ts';
import type { LoadOptions } from './load-knockd-conf.ts';

export interface LoadTomlOptions extends Pick<LoadOptions, 'shownAs' | 'strict'> {
  /** A daemon says itself what it cannot listen on. */
  readonly starting?: boolean;
}

export interface LoadedToml {
  /** Every problem, printed; or that the file cannot be read. */
  readonly complaints: readonly string[];
  readonly problems: readonly Problem[];
  /** There is no such file. */
  readonly missing?: true;
  /** Absent when the file was refused. */
  readonly config: PosternConfig | undefined;
  /** What was read. */
  readonly text?: string;
}

/** Reads and judges the file at an absolute path; relative paths in it count from its directory. */
export function loadPosternToml(path: string, options: LoadTomlOptions): LoadedToml {
  const { shownAs, strict, starting = false } = options;
  let text: Uint8Array;
  try {
    text = readFileSync(path);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const complaints = [`${shownAs}: ${reasonOf(error)}`];
    return { complaints, problems: [], config: undefined, ...(missing && { missing: true }) };
  }
  const result = parsePosternToml(text, {
    file: shownAs,
    directory: dirname(path),
    surroundings: surroundings(starting),
  });
  const complaints = result.problems.map(printProblem);
  const refused = strict && result.ok && result.problems.length > 0;
  if (refused) complaints.push(`${shownAs}: refused because of its warnings (--strict)`);
  return {
    complaints,
    problems: result.problems,
    config: result.ok && !refused ? result.config : undefined,
    text: new TextDecoder().decode(text),
  };
}

function surroundings(starting: boolean): Surroundings {
  const own = localPorts();
  return {
    listening: portsInUse(),
    ...(own && { localPorts: own }),
    drivers: driversHere(),
    ...(!starting && { interfaces: interfaceNames() }),
    canRun,
  };
}

/** Is it the native configuration? By its ending, else by its first sections; a file that cannot be read is told by its name. */
export function isPosternToml(path: string): boolean {
  if (path.endsWith('.toml')) return true;
  try {
    return /^\s*\[{1,2}\s*door\s*\./m.test(readFileSync(path, 'latin1'));
  } catch {
    return false;
  }
}
