/**
 * knockd: the command line of knockd 0.8 in front of the keeper. Reads the configuration, says what knockd would say about it,
 * becomes a daemon if asked to, and runs (`knockd-run.ts`) until a signal ends it with its own number as exit status.
 */

import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { type KnockdConfig, parseKnockdConf } from '../config/knockd-conf.ts';
import { printProblem } from '../config/problem.ts';
import { reasonOf } from '../keeper/journal.ts';
import { isDaemonChild, startInBackground } from './daemon.ts';
import { type KnockdOptions, readOptions, USAGE } from './knockd-options.ts';
import { runKnockd } from './knockd-run.ts';
import { readVersion } from './version.ts';

/** Runs knockd; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const daemonChild = isDaemonChild();
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // A reader that went away.
  const invocation = readOptions(argv, process.argv[1] ?? 'knockd', process.platform);
  if ('refuse' in invocation) {
    process.stderr.write(`${invocation.refuse}\n`);
    process.stdout.write(USAGE);
    return invocation.status;
  }
  if ('say' in invocation) {
    process.stdout.write(
      invocation.say === 'help' ? USAGE : `knockd 0.8 (postern ${readVersion()})\nLicence Apache-2.0\n`,
    );
    return 0;
  }
  const options = withAbsolutePaths(invocation.run);
  if (options.daemon && !daemonChild) return startInBackground(argv);
  const loaded = loadConfig(options, invocation.run.config);
  for (const line of loaded.trace) if (options.debug) process.stdout.write(`${line}\n`);
  for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
  if (!loaded.config) return 1;
  return runKnockd({
    options,
    config: loaded.config,
    detached: daemonChild,
    reload: () => loadConfig(options, invocation.run.config),
  });
}

export interface LoadedConfig {
  readonly trace: readonly string[];
  /** For standard error, and the ones among them that knockd logs too. */
  readonly complaints: readonly string[];
  readonly logged: readonly string[];
  /** Absent when the file was refused. */
  readonly config: KnockdConfig | undefined;
}

/** Reads the file; `shownAs` is its name as the user wrote it, for messages. */
function loadConfig(options: KnockdOptions, shownAs: string): LoadedConfig {
  let text: Uint8Array;
  try {
    text = readFileSync(options.config);
  } catch (error) {
    return { trace: [], complaints: [`${shownAs}: ${reasonOf(error)}`], logged: [], config: undefined };
  }
  const result = parseKnockdConf(text, {
    file: shownAs,
    readFile: (path) => {
      try {
        return readFileSync(path);
      } catch (error) {
        throw new Error(reasonOf(error));
      }
    },
    ...(options.interface !== undefined && { interface: options.interface }),
  });
  const { trace, stderr, logged, problems } = result;
  const doubts = options.strict && problems.some((problem) => problem.severity === 'warning');
  const complaints = [...stderr, ...problems.map(printProblem)];
  if (doubts && result.ok) complaints.push(`${shownAs}: refused because of its warnings (--strict)`);
  return { trace, complaints, logged, config: result.ok && !doubts ? absolutePaths(result.config) : undefined };
}

/** A daemon leaves its directory: what is relative means the one it was started in. */
function withAbsolutePaths(options: KnockdOptions): KnockdOptions {
  const { config, pidFile, logFile, state, read } = options;
  return {
    ...options,
    config: resolve(config),
    pidFile: absolute(pidFile),
    logFile: absolute(logFile),
    state: absolute(state),
    read: absolute(read),
  };
}

function absolutePaths(config: KnockdConfig): KnockdConfig {
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

/** Relative paths are seen from the directory of the start; nothing stays nothing. */
function absolute<T extends string | undefined>(path: T): T {
  return (path === undefined || path === '' || isAbsolute(path) ? path : resolve(startedIn, path)) as T;
}
