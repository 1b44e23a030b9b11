/**
 * Landlock: a thread gives up files, TCP and signals for itself and everything it starts, and keeps that through execve
 * (landlock(7), Documentation/userspace-api/landlock.rst).
 *
 * A domain forbids all that the kernel's ABI can forbid; only the named paths may be read, and only the named programs
 * executed. Domains nest, and never widen. A domain binds the calling thread alone: other threads of the process stay free.
 */

import { closeSync, constants, openSync, statSync } from 'node:fs';
import { prctl, SystemError, syscall } from './libc.ts';
import { syscallNumber, thisMachine } from './syscalls.ts';

const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
const PR_SET_NO_NEW_PRIVS = 38;
const O_PATH = 0o10000000;

const FS_EXECUTE = 1n << 0n;
const FS_READ_FILE = 1n << 2n;

/** How many access rights to files each ABI knows, from the first ABI on; later ABIs of the kernel keep the last figure. */
const FS_RIGHTS = [13n, 14n, 15n, 15n, 16n] as const;
const FS_RIGHTS_NOW = 16n;
const NET_SINCE = 4;
const NET_BIND_AND_CONNECT_TCP = 0b11n;
const SCOPE_SINCE = 6;
const SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11n;

/** What stays possible inside a domain. */
export interface Exceptions {
  /** Files, or directories with all below them, that may be read. Those that do not exist are passed over. */
  readonly readable: readonly string[];
  /** Programs, and the loader they name, that may be executed and read. */
  readonly executable: readonly string[];
}

/** The kernel's Landlock ABI, or undefined when it has none or has it switched off. */
export function landlockAbi(): number | undefined {
  if (!thisMachine()) return undefined;
  try {
    return syscall('landlock_create_ruleset', syscallNumber('landlock_create_ruleset'), 0, 0, CREATE_RULESET_VERSION);
  } catch (error) {
    if (error instanceof SystemError && (error.code === 'ENOSYS' || error.code === 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}

/** Puts the calling thread into a domain of this ABI where nothing but `exceptions` is allowed. Sets no_new_privs, which Landlock asks for. */
export function enterDomain(abi: number, exceptions: Exceptions): void {
  prctl(PR_SET_NO_NEW_PRIVS, 1);
  const attributes = new Uint8Array(
    BigUint64Array.of(
      (1n << (FS_RIGHTS[abi - 1] ?? FS_RIGHTS_NOW)) - 1n,
      abi >= NET_SINCE ? NET_BIND_AND_CONNECT_TCP : 0n,
      abi >= SCOPE_SINCE ? SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS : 0n,
    ).buffer,
  );
  // A kernel takes a longer structure than its own as long as the rest is zero.
  const ruleset = syscall(
    'landlock_create_ruleset',
    syscallNumber('landlock_create_ruleset'),
    attributes,
    attributes.length,
    0,
  );
  try {
    for (const path of exceptions.readable) allow(ruleset, path, FS_READ_FILE);
    for (const path of exceptions.executable) allow(ruleset, path, FS_READ_FILE | FS_EXECUTE);
    syscall('landlock_restrict_self', syscallNumber('landlock_restrict_self'), ruleset, 0);
  } finally {
    closeSync(ruleset);
  }
}

function allow(ruleset: number, path: string, access: bigint): void {
  let fd: number;
  try {
    fd = openSync(path, O_PATH);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  try {
    const rule = new Uint8Array(12);
    const view = new DataView(rule.buffer);
    view.setBigUint64(0, access, true);
    view.setInt32(8, fd, true);
    syscall('landlock_add_rule', syscallNumber('landlock_add_rule'), ruleset, RULE_PATH_BENEATH, rule, 0);
  } finally {
    closeSync(fd);
  }
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES';
}

/**
 * Whether the calling thread is inside a domain that forbids reading directories, found out by trying. Asked first thing in a
 * program, it is true of all its threads: a domain that survived execve binds every thread made since.
 */
export function isInDomain(): boolean {
  const everybodyMayRead = (statSync('/').mode & 0o004) !== 0;
  if (!everybodyMayRead) return false;
  try {
    closeSync(openSync('/', constants.O_RDONLY | constants.O_DIRECTORY));
    return false;
  } catch (error) {
    return isMissing(error);
  }
}
