/**
 * Our knockd (or Debian's) on a host of a test's network: its directory, its configuration, its life, and what its doors' commands wrote.
 *
 *     const knockd = await startKnockd(server, { config: `[A]\n sequence = 7000\n command = echo %IP% >> out` });
 */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from './netns.ts';
import type { Ended, Running } from './running.ts';

const PROGRAM = [process.execPath, join(import.meta.dirname, '../../bin/knockd')];

export interface KnockdOptions {
  readonly config: string;
  /** Besides `-c`, `-i` and `--state`. */
  readonly args?: readonly string[];
  /** For `-i`; default the host's first. */
  readonly interface?: string;
  readonly files?: Readonly<Record<string, string>>;
  /** A directory of an earlier one, to go on in. */
  readonly folder?: string;
  /** Debian's knockd instead of ours. */
  readonly debian?: boolean;
  /** Another way to start it, with the command as `$0` onwards. */
  readonly within?: string;
}

export interface Knockd extends AsyncDisposable {
  readonly folder: string;
  readonly running: Running;
  /** A file of its directory; '' while there is none. */
  read(name: string): string;
  write(name: string, text: string): void;
  /** Lines of `out`, as soon as there are `count` of them; throws after ten seconds. */
  output(count: number, name?: string): Promise<readonly string[]>;
  /** The watcher's process id. */
  watcher(): number;
  /** Every process below it. */
  descendants(): readonly number[];
  stop(signal?: NodeJS.Signals): Promise<Ended>;
}

/** Starts knockd with `-v -D` and waits until it listens. Its directory goes when it is disposed of, unless it was given. */
export async function startKnockd(host: Host, options: KnockdOptions): Promise<Knockd> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'postern-knockd-'));
  mkdirSync(folder, { recursive: true });
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write('knockd.conf', options.config);
  for (const [name, text] of Object.entries(options.files ?? {})) write(name, text);
  const argv = [
    ...(options.debian ? ['/usr/sbin/knockd'] : PROGRAM),
    ...['-v', '-D', '-c', 'knockd.conf', '-i', options.interface ?? host.interfaces[0]!.name],
    ...(options.debian ? [] : ['--state', join(folder, 'state')]),
    ...(options.args ?? []),
  ];
  const within = options.within ?? 'exec "$0" "$@"';
  const running = host.spawn(['sh', '-ec', within, ...argv], { cwd: folder });
  const read = (name: string): string => {
    const path = join(folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  };
  const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> => running.stop(signal);
  await running.waitForLine(/^listening on /, 20_000);
  return {
    folder,
    running,
    read,
    write,
    async output(count, name = 'out') {
      await until(
        () => lines(read(name)).length >= count,
        () => `${count} lines in ${name}, there are: ${read(name)}\n${running.lines.join('\n')}`,
      );
      return lines(read(name));
    },
    watcher: () => watcherOf(running.pid),
    descendants: () => descendantsOf(running.pid),
    stop,
    async [Symbol.asyncDispose]() {
      if (running.running) await stop('SIGKILL');
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function lines(text: string): string[] {
  return text.split('\n').filter(Boolean);
}

/** Waits for a condition; throws after `timeout` milliseconds, naming it. */
export async function until(condition: () => boolean, what: () => string, timeout = 10_000): Promise<void> {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > timeout) throw new Error(`Waited ${timeout} ms in vain for ${what()}`);
    await sleep(10);
  }
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Whoever started it; 0 when it is gone. */
export function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
  } catch {
    return 0;
  }
}

export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

export function watcherOf(pid: number): number {
  const found = descendantsOf(pid).find((child) => commandLine(child).includes('watcher'));
  if (found === undefined) throw new Error('There is no watcher');
  return found;
}
