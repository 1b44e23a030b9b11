/**
 * The only place that starts a program: argv arrays, never a shell string, except `runShell` for the commands that a
 * root-owned knockd.conf names. Everything started here gets its own session and no descriptor but the ones named. Nothing here
 * throws: a start that fails, at once or later, is how the program ended.
 */

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Duplex, type Readable } from 'node:stream';
import { killAs } from './kill-as.ts';
import { canSpawnSessions, type Ending, type RunningProgram, startSession } from './session.ts';

export type { Ending, RunningProgram } from './session.ts';

/** Runs one command line with `/bin/sh -c`, as knockd does: same environment, directory, descriptors 0-2; its own session. */
export function runShell(command: string): RunningProgram {
  if (canSpawnSessions()) return startSession('/bin/sh', ['sh', '-c', command]);
  return start(['/bin/sh', '-c', command], {
    argv0: 'sh',
    detached: true,
    stdio: ['inherit', 'inherit', 'inherit'],
  }).program;
}

/**
 * Runs a program with `input` as its whole standard input, and keeps at most `limit` bytes each of what it writes (output and
 * complaints); it is killed after `timeout` milliseconds.
 */
export async function feedProgram(
  argv: readonly [string, ...string[]],
  input: string,
  options: { readonly timeout: number; readonly limit: number; readonly uid?: number; readonly gid?: number },
): Promise<{ readonly ending: Ending; readonly output: string; readonly complaints: string }> {
  const { timeout, limit, ...ids } = options;
  const { child, program } = start(argv, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout,
    killSignal: 'SIGKILL',
    cwd: '/',
    env: PATH_ONLY,
    ...ids,
  });
  // It may end without reading everything.
  child?.stdin?.on('error', () => {});
  child?.stdin?.end(input);
  const output = collected(child?.stdout, limit);
  const complaints = collected(child?.stderr, limit);
  const ending = await lastWords(child, program, timeout);
  return { ending, output: output(), complaints: complaints() };
}

/**
 * How it ended, when all that it wrote has been read: what it wrote last may still be in the pipes. What it left running in the background
 * may hold them open for ever, so they are read for `patience` milliseconds after its end at most.
 */
async function lastWords(child: ChildProcess | undefined, program: RunningProgram, patience: number): Promise<Ending> {
  const closed = new Promise<void>((resolve) => child?.once('close', () => resolve()));
  const ending = await program.ended;
  if ('failed' in ending) return ending;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patience);
  await Promise.race([closed, over]);
  clearTimeout(timer);
  child?.stdout?.destroy();
  child?.stderr?.destroy();
  return ending;
}

/** There is no stream when the program could not be started. */
function collected(stream: Readable | null | undefined, limit: number): () => string {
  const chunks: Buffer[] = [];
  let kept = 0;
  stream?.on('data', (chunk: Buffer) => {
    if (kept < limit) chunks.push(chunk.subarray(0, limit - kept));
    kept += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

/**
 * Runs an administrator's program (an argv, no shell) with extra environment variables; it and what it started are killed after
 * `timeout` milliseconds. At most `limit` bytes of its output and complaints together are kept.
 */
export async function runHook(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
  options: { readonly timeout: number; readonly limit: number },
): Promise<{ readonly ending: Ending; readonly output: string; readonly late: boolean }> {
  const { child, program } = start(argv, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
    env: { ...PATH_ONLY, ...env },
  });
  const output = collected(child?.stdout, options.limit);
  const complaints = collected(child?.stderr, options.limit);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    try {
      // Its own session: the whole group goes.
      if (program.pid !== undefined) process.kill(-program.pid, 'SIGKILL');
    } catch {
      // It has just ended.
    }
  }, options.timeout);
  void program.ended.then(() => clearTimeout(timer));
  const ending = await lastWords(child, program, BACKGROUND);
  return { ending, output: (output() + complaints()).slice(0, options.limit), late };
}

/** For how long a hook that has ended is listened to. */
const BACKGROUND = 100;

/** A child with a private channel to it: descriptor 3, a stream socket. Nobody is at the other end of it when the start failed. */
export interface ConnectedProgram extends RunningProgram {
  readonly channel: Duplex;
}

/**
 * Starts a program of ours with an empty environment, `descriptors` from number 4 on and the channel as descriptor 3. A descriptor
 * that could not be had fails the start. Standard error is a pipe that ends here; the other two lead nowhere.
 */
export function startConnected(
  argv: readonly [string, ...string[]],
  options: {
    readonly descriptors: readonly (number | Readable | undefined)[];
    readonly argv0: string;
    /** The user it becomes by itself, if it does: it can be killed as that one. */
    readonly uid?: number;
  },
): ConnectedProgram & { readonly complaints: Readable | undefined } {
  const descriptors = options.descriptors.filter((descriptor) => descriptor !== undefined);
  if (descriptors.length < options.descriptors.length)
    return unstartedConnection('a program that it reads from could not be started');
  const stdio: SpawnOptions['stdio'] = ['ignore', 'ignore', 'pipe', 'pipe', ...descriptors];
  const { child, program } = startApart(argv, stdio, options);
  return { ...program, channel: channelOf(child), complaints: child?.stderr ?? undefined };
}

/** Starts a program of ours with an empty environment and these descriptors, from number 0 on. */
export function startHanded(
  argv: readonly [string, ...string[]],
  options: { readonly descriptors: readonly (number | 'ignore')[]; readonly argv0: string; readonly uid?: number },
): RunningProgram {
  return startApart(argv, [...options.descriptors], options).program;
}

/** In a session of its own, and killed as the user it becomes. */
function startApart(
  argv: readonly [string, ...string[]],
  stdio: SpawnOptions['stdio'],
  { argv0, uid }: { readonly argv0: string; readonly uid?: number },
): Start {
  const { child, program } = start(argv, { detached: true, stdio, cwd: '/', env: {}, argv0 });
  const { pid } = program;
  const kill = (signal: NodeJS.Signals): void => {
    if (pid === undefined || child?.exitCode !== null || child.signalCode !== null) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPERM' || uid === undefined) return;
      killAs(uid, pid, signal);
    }
  };
  return { child, program: { ...program, kill } };
}

/** Starts a program that outlives this one, holding the other end of its standard input: it reads end-of-file when this process dies. */
export function startOutliving(
  argv: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv = process.env,
): RunningProgram & { readonly input: NodeJS.WritableStream | null } {
  const { child, program } = start(argv, { detached: true, stdio: ['pipe', 'inherit', 'inherit'], env });
  child?.unref();
  return { ...program, input: child?.stdin ?? null };
}

/** Starts a program in a session of its own that this process has nothing more to do with; it writes nowhere. */
export function startDetached(
  argv: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv = process.env,
): RunningProgram {
  const { child, program } = start(argv, { detached: true, stdio: 'ignore', cwd: '/', env });
  child?.unref();
  return program;
}

/** Does systemd run this machine (sd_booted(3))? */
export function isSystemdHere(): boolean {
  return existsSync('/run/systemd/system');
}

/** Has systemd run a program once, `delay` milliseconds from now (systemd-run(1)): on time, where a timer may otherwise be a minute late. */
export function startUnit(name: string, delay: number, argv: readonly string[]): RunningProgram {
  const when = [`--on-active=${Math.ceil(delay / 1000)}s`, '--timer-property=AccuracySec=100ms'];
  const timer = ['--quiet', '--collect', `--unit=${name}`, ...when];
  return start(['systemd-run', ...timer, ...argv], { stdio: 'ignore', cwd: '/', env: PATH_ONLY }).program;
}

/** Starts this program again as a daemon's child: own session, the terminal's descriptors, and descriptor 3 to report on. */
export function startDaemon(argv: readonly [string, ...string[]], env: NodeJS.ProcessEnv): ConnectedProgram {
  const { child, program } = start(argv, { detached: true, stdio: ['inherit', 'inherit', 'inherit', 'pipe'], env });
  return { ...program, channel: channelOf(child) };
}

/** Starts a capture program that writes to a pipe, whose reading end is meant for another child: hand it on, then destroy it here. */
export function startCapture(
  argv: readonly [string, ...string[]],
): RunningProgram & { readonly output: Readable | undefined } {
  const { child, program } = start(argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  return { ...program, output: child?.stdout?.pause() };
}

const PATH_ONLY = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

interface Start {
  /** Absent when the start failed at once. Without descriptors to spare it is there, but has no streams. */
  readonly child: ChildProcess | undefined;
  readonly program: RunningProgram;
}

function start(argv: readonly [string, ...string[]], options: SpawnOptions): Start {
  try {
    const child = spawn(argv[0], argv.slice(1), options);
    return { child, program: running(child) };
  } catch (error) {
    return { child: undefined, program: unstarted((error as Error).message) };
  }
}

function unstarted(reason: string): RunningProgram {
  return { pid: undefined, ended: Promise.resolve({ failed: reason }), kill: () => {} };
}

/** A program with a channel that could not be started. */
export function unstartedConnection(reason: string): ConnectedProgram & { readonly complaints: undefined } {
  return { ...unstarted(reason), channel: deadChannel(), complaints: undefined };
}

function channelOf(child: ChildProcess | undefined): Duplex {
  const channel = child?.stdio?.[3];
  return channel instanceof Duplex ? channel : deadChannel();
}

function deadChannel(): Duplex {
  return new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
}

function running(child: ChildProcess): RunningProgram {
  const ended = new Promise<Ending>((resolve) => {
    child.once('error', (error) => resolve({ failed: error.message }));
    child.once('exit', (status, signal) => resolve(signal === null ? { status: status ?? 0 } : { signal }));
  });
  return { pid: child.pid, ended, kill: (signal) => void child.kill(signal) };
}
