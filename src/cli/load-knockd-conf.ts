/** Reads a knockd.conf from disk for a program: the daemon, or `postern check`. Relative paths in it mean the directory of the start. */

import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { type KnockdConfig, type KnockdConfResult, parseKnockdConf } from '../config/knockd-conf.ts';
import { type Problem, printProblem } from '../config/problem.ts';
import { reasonOf } from '../keeper/journal.ts';

export interface LoadedConfig {
  /** knockd's `-D` lines. */
  readonly trace: readonly string[];
  /** knockd's own lines about the file, for standard error; then every problem, printed. */
  readonly complaints: readonly string[];
  readonly problems: readonly Problem[];
  /** Absent when the file was refused. */
  readonly config: KnockdConfig | undefined;
}

export interface LoadOptions {
  /** The file as the user named it, for messages. */
  readonly shownAs: string;
  /** The interface of `-i`. */
  readonly interface?: string | undefined;
  /** Warnings refuse the file too. */
  readonly strict: boolean;
  /** Says each problem once: without knockd's own line about it. */
  readonly once?: boolean;
}

export function loadKnockdConf(path: string, options: LoadOptions): LoadedConfig {
  const { shownAs } = options;
  let text: Uint8Array;
  try {
    text = readFileSync(path);
  } catch (error) {
    return { trace: [], complaints: [`${shownAs}: ${reasonOf(error)}`], problems: [], config: undefined };
  }
  const result: KnockdConfResult = parseKnockdConf(text, {
    file: shownAs,
    readFile: readOneTimeFile,
    ...(options.interface !== undefined && { interface: options.interface }),
  });
  const { trace, stderr, problems } = result;
  const refused = options.strict && result.ok && problems.length > 0;
  const complaints = [...(options.once && problems.length > 0 ? [] : stderr), ...problems.map(printProblem)];
  if (refused) complaints.push(`${shownAs}: refused because of its warnings (--strict)`);
  return { trace, complaints, problems, config: result.ok && !refused ? withAbsolutePaths(result.config) : undefined };
}

function readOneTimeFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(reasonOf(error));
  }
}

function withAbsolutePaths(config: KnockdConfig): KnockdConfig {
  const { logFile, pidFile, ...rest } = config;
  return {
    ...rest,
    ...(logFile !== undefined && { logFile: absolute(logFile) }),
    ...(pidFile !== undefined && { pidFile: absolute(pidFile) }),
    doors: config.doors.map((door) =>
      door.oneTime ? { ...door, oneTime: { ...door.oneTime, path: absolute(door.oneTime.path) } } : door,
    ),
  };
}

const startedIn = process.cwd();

/** A path as seen from the directory of the start; nothing stays nothing. */
export function absolute<T extends string | undefined>(path: T): T {
  return (path === undefined || path === '' || isAbsolute(path) ? path : resolve(startedIn, path)) as T;
}
