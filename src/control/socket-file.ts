/**
 * The control socket as a file: mode 0660, of the group that may talk to the daemon; of root's, where there is none. From the first moment
 * on nobody else can connect. What a dead daemon left behind is removed; where a live one answers, nothing is touched.
 */

import { chmodSync, chownSync, lstatSync, mkdirSync, type Stats, statSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { groupId } from '../platform/accounts.ts';

/** The socket cannot be had, in words for the administrator. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
}

const CONNECT_TIMEOUT = 2000;

/**
 * Makes `server` listen at `path`. A folder that is missing is made (0750), and one that is its owner's alone is opened for the group to pass
 * through, not to read. Resolves to warnings; throws `SocketError`.
 */
export async function listenAt(server: Server, path: string, group: string): Promise<readonly string[]> {
  const folder = dirname(path);
  const made = makeFolder(folder);
  await removeStale(path);
  await listen(server, path);
  const gid = groupId(group);
  if (gid === undefined) return leaveToRoot(path);
  try {
    const warnings = openFolder(folder, gid, group, made);
    chownSync(path, -1, gid);
    chmodSync(path, 0o660);
    return warnings;
  } catch (error) {
    return [`Group ${group} cannot use ${path}: ${wordsOf(error)}`];
  }
}

/** The same mode with or without the group. On Linux nobody but root is in group 0; elsewhere people are, and the socket stays its owner's. */
function leaveToRoot(path: string): readonly string[] {
  if (process.platform !== 'linux' || process.geteuid?.() !== 0) return [];
  try {
    chownSync(path, -1, 0);
    chmodSync(path, 0o660);
  } catch {
    // It stays its owner's alone.
  }
  return [];
}

function makeFolder(folder: string): boolean {
  try {
    return mkdirSync(folder, { recursive: true, mode: 0o750 }) !== undefined;
  } catch (error) {
    throw new SocketError(`Cannot make the folder ${folder}: ${wordsOf(error)}`);
  }
}

async function removeStale(path: string): Promise<void> {
  let found: Stats;
  try {
    found = lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new SocketError(`Cannot use ${path}: ${wordsOf(error)}`);
  }
  if (!found.isSocket()) throw new SocketError(`Cannot make the socket ${path}: something else has that name`);
  const answer = await tryConnecting(path);
  if (answer === 'ENOENT') return;
  if (answer !== 'ECONNREFUSED')
    throw new SocketError(`Another daemon answers at ${path}: stop it, or give this one its own socket in [control]`);
  unlinkSync(path);
}

/** The code of the error; undefined when somebody answers or is too busy to. */
function tryConnecting(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (code: string | undefined): void => {
      socket.destroy();
      resolve(code);
    };
    socket.setTimeout(CONNECT_TIMEOUT, () => end(undefined));
    socket.on('connect', () => end(undefined));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code));
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(new SocketError(`Cannot listen at ${path}: ${wordsOf(error)}`));
    server.once('error', refuse);
    // The name appears with its final mode: bind(2) happens inside listen(), and obeys the umask.
    const before = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off('error', refuse);
        resolve();
      });
    } finally {
      process.umask(before);
    }
  });
}

/** Lets the group pass through the folder where that takes nothing from anybody; else says that it cannot. */
function openFolder(folder: string, gid: number, group: string, made: boolean): readonly string[] {
  const { mode, gid: owner } = statSync(folder);
  if ((mode & 0o001) !== 0 || (owner === gid && (mode & 0o010) !== 0)) return [];
  if (made || (mode & 0o077) === 0) {
    chownSync(folder, -1, gid);
    chmodSync(folder, made ? 0o750 : (mode & 0o7777) | 0o010);
    return [];
  }
  return [`Group ${group} cannot pass through ${folder} to the control socket in it`];
}

/** The system's text without the name of the call: `permission denied`. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return /^(?:[a-z]+ )?[A-Z0-9]+: ([^,]+)/.exec(error.message)?.[1] ?? error.message;
}
