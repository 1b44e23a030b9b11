/**
 * Becoming a daemon without fork(): the program is started again in a session of its own, and the first process waits until the
 * second says that it is up (its exit status is then 0) or has ended (then it is the second's). Errors of the start therefore
 * appear on the terminal, as with daemon(3) called after the start.
 */

import { closeSync, openSync, writeSync } from 'node:fs';
import { dup2 } from '../platform/libc.ts';
import { parkNodeOptions } from '../platform/node-options.ts';
import { startDaemon } from '../platform/process.ts';

const MARK = 'POSTERN_DAEMON';
const CHANNEL = 3;

/** Is this the second process? Answers once: the mark is not for the commands that this one runs. */
export function isDaemonChild(): boolean {
  const marked = process.env[MARK] === String(process.ppid);
  delete process.env[MARK];
  return marked;
}

/** Starts the second process; resolves to the exit status of the first. */
export async function startInBackground(argv: readonly string[]): Promise<number> {
  const script = process.argv[1] ?? '';
  const env = { ...parkNodeOptions(process.env), [MARK]: String(process.pid) };
  const child = startDaemon([process.execPath, ...process.execArgv, script, ...argv], env);
  const ready = new Promise<number>((resolve) => {
    child.channel.on('error', () => {});
    child.channel.on('data', () => resolve(0));
  });
  const failed = child.ended.then((ending) => ('status' in ending ? ending.status : 1));
  return Promise.race([ready, failed]);
}

/** The second process is up: leaves terminal and directory, and tells the first. */
export function detach(): void {
  process.chdir('/');
  const nowhere = openSync('/dev/null', 'r+');
  for (const fd of [0, 1, 2]) dup2(nowhere, fd);
  closeSync(nowhere);
  writeSync(CHANNEL, 'ready\n');
  closeSync(CHANNEL);
}
