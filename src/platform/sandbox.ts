/**
 * The watcher's confinement: no capability, no way to get one, no file, no program, no connection, no packet out.
 *
 * Two stages, because Landlock binds one thread and Node starts its own before any JavaScript runs. `enterConfinedRuntime`
 * gives everything up that a starting Node can do without, and replaces the process by the real script, all of whose threads are
 * born confined. That one loads its modules, opens and maps what it needs, then calls `confine`, after which nothing can
 * be loaded or opened. What a kernel does not offer is reported, never passed over.
 *
 * Local time and time zones have to be used once before `confine`, if they are wanted.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Account } from './accounts.ts';
import {
  CAP_DAC_READ_SEARCH,
  CAP_KILL,
  CAP_SETGID,
  CAP_SETUID,
  dropCapabilities,
  hasCapability,
  holdsCapabilities,
} from './capabilities.ts';
import { enterDomain, isInDomain, landlockAbi } from './landlock.ts';
import { closeOnExec, prctl, SystemError } from './libc.ts';
import { lowerLimits } from './limits.ts';
import { bootFilter, installFilter, isWithoutRings, runFilter } from './seccomp.ts';
import { type Machine, thisMachine } from './syscalls.ts';

const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_GET_NO_NEW_PRIVS = 39;
const SIGKILL = 9;
/** The runtime's own, and a packet socket for each of many interfaces. */
const MOST_FILES = 256;

/**
 * For a process that reads packets: no inspector on SIGUSR1, one helper thread for V8 instead of four, nothing from OpenSSL's
 * system configuration (which would be one more directory to read).
 */
export const RUNTIME_FLAGS = ['--disable-sigusr1', '--v8-pool-size=1', '--openssl-config=/dev/null'] as const;

export interface ConfinedRuntime {
  /** The real script, an absolute path. */
  readonly script: string;
  readonly args: readonly string[];
  /** What it may read to load itself: files, or directories with all below them. The runtime and koffi are known. */
  readonly readable: readonly string[];
  /** The inherited descriptors, besides 0 to 2, that it keeps under their numbers. */
  readonly descriptors: readonly number[];
  /** Who it will ask `confine` to be; root only. */
  readonly account?: Account;
  /** The process id of whoever started this one, if known: when that is not our parent any more, this process ends. */
  readonly parent?: number;
}

/** What is in force after `confine`, for every thread unless a note says otherwise. */
export interface ConfinementReport {
  /** The kernel's Landlock ABI; undefined when not every thread is in a domain. */
  readonly landlock: number | undefined;
  readonly seccomp: boolean;
  readonly noNewPrivs: boolean;
  readonly capabilities: 'none' | 'some';
  readonly uid: number;
  readonly notes: readonly string[];
}

/**
 * Replaces this process by `script` in a runtime that dies with its parent, holds no capability, can gain no privilege,
 * reads only what `readable` names and executes nothing but itself. Call it first thing in a process of its own, with as
 * little else loaded as possible.
 */
export function enterConfinedRuntime(runtime: ConfinedRuntime): never {
  if (!process.execve) throw new Error(`Cannot replace the process on ${process.platform}`);
  if (process.platform === 'linux') {
    handOn(runtime.descriptors);
    giveUp(runtime);
  }
  process.execve(process.execPath, [process.execPath, ...RUNTIME_FLAGS, runtime.script, ...runtime.args], process.env);
  throw new Error('Cannot replace the process');
}

/** These descriptors and 0 to 2 survive, no other does, whoever left it open. */
function handOn(descriptors: readonly number[]): void {
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    try {
      if (fd > 2) closeOnExec(fd, !descriptors.includes(fd));
    } catch (error) {
      // The one that the directory was read through is closed by now.
      if (!(error instanceof SystemError && error.code === 'EBADF')) throw error;
    }
  }
}

function giveUp({ readable, account, parent = process.ppid }: ConfinedRuntime): void {
  dieWith(parent);
  prctl(PR_SET_NO_NEW_PRIVS, 1);
  const machine = thisMachine();
  if (!machine) return;
  const mapped = mappedFiles();
  // Root reads the package wherever it is installed, then changes its user id, which takes these from every thread. Only a zygote
  // keeps them, and ends with the last of them those who have changed theirs.
  const willChangeUser = account !== undefined && canBecome(account);
  dropCapabilities(willChangeUser ? [CAP_SETUID, CAP_SETGID, CAP_DAC_READ_SEARCH, CAP_KILL] : []);
  const abi = landlockAbi();
  if (abi !== undefined) {
    enterDomain(abi, {
      readable: [...readable, ...mapped, ...koffiPackages(mapped), ...SYSTEM_FILES],
      executable: [process.execPath, ...mapped.filter((path) => /\/ld[-.][^/]*$/.test(path))],
    });
  }
  installFilter(bootFilter(machine));
}

/** Root with the capabilities for it, in a user namespace (user_namespaces(7)) that knows the ids and allows setgroups. */
function canBecome({ uid, gid }: Account): boolean {
  if (process.getuid?.() !== 0 || !hasCapability(CAP_SETUID) || !hasCapability(CAP_SETGID)) return false;
  const mapped = (map: string, id: number): boolean =>
    readFileSync(`/proc/self/${map}`, 'utf8')
      .trim()
      .split('\n')
      .some((line) => {
        const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
        return id >= first && id < first + count;
      });
  return (
    mapped('uid_map', uid) && mapped('gid_map', gid) && readFileSync('/proc/self/setgroups', 'utf8').trim() === 'allow'
  );
}

/** SIGKILL when the parent dies, which it may have done just before: then the parent is another process already. */
function dieWith(parent: number): void {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (process.ppid !== parent) process.exit(1);
}

/** The C library changes all threads, and the kernel takes every capability from each that stops being root. */
function becomeUser({ uid, gid }: Account): void {
  const parent = process.ppid;
  process.setgroups?.([]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  // Another user id clears the parent-death signal (prctl(2)).
  dieWith(parent);
}

/** What the loader and the C library read at every start, and the way to say "no configuration". */
const SYSTEM_FILES = ['/etc/ld.so.cache', '/etc/ld.so.preload', '/dev/null'] as const;

/** The program and the libraries that this process consists of: the next one needs the same. */
function mappedFiles(): readonly string[] {
  const paths = readFileSync('/proc/self/maps', 'utf8').matchAll(/ (\/.*)$/gm);
  return [...new Set([...paths].map((match) => match[1] ?? ''))];
}

/** The packages of the foreign function library: its JavaScript, and the native half that is mapped. */
function koffiPackages(mapped: readonly string[]): readonly string[] {
  const entries = [fileURLToPath(import.meta.resolve('koffi')), ...mapped.filter((path) => path.endsWith('.node'))];
  return entries.map((entry) => {
    let folder = dirname(entry);
    while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
    return folder;
  });
}

/**
 * Shuts the process in for good: main thread in a domain that allows nothing, every thread under the system call filter, in
 * which descriptors 0, 1 and `packetDescriptors` can be read but not written to; standard error has to be a pipe whose reader
 * distrusts it. Call it when everything is loaded and opened; rings can be mapped
 * before or after. Asynchronous file and crypto calls end the process later on, unless one was made before: their threads are
 * started by the first. Throws when the process was not started by `enterConfinedRuntime`.
 */
export function confine(options: {
  readonly packetDescriptors: readonly number[];
  /** Who to be from now on; root only. */
  readonly account?: Account;
  /** Another filter than the watcher's. */
  readonly filter?: (machine: Machine, pid: number) => Uint8Array;
  /** How many descriptors it may have, when it needs more than a watcher. */
  readonly files?: number;
}): ConfinementReport {
  const machine = thisMachine();
  if (!machine) {
    const notes = [`No confinement is known for ${process.platform} ${process.arch}`];
    return { landlock: undefined, seccomp: false, noNewPrivs: false, capabilities: 'some', uid: currentUser(), notes };
  }
  const notes: string[] = [];
  const noNewPrivs = prctl(PR_GET_NO_NEW_PRIVS) === 1;
  if (!noNewPrivs) throw new Error('Cannot confine a process that was not started through enterConfinedRuntime');
  if (options.account && process.getuid?.() === 0) {
    if (hasCapability(CAP_SETUID)) becomeUser(options.account);
    else notes.push('The user id cannot be changed here: still root, but without any capability');
  }
  const capabilities = holdsCapabilities() ? 'some' : 'none';
  if (capabilities === 'some') notes.push('Some capabilities could not be given up');
  // Not readable through /proc by others of the same user id, no core file. Executing a program resets it.
  prctl(PR_SET_DUMPABLE, 0);

  // No core, no file that grows, no other process or thread, and no more descriptors than it has use for.
  if (!lowerLimits({ core: 0, fileSize: 0, processes: 0, files: options.files ?? MOST_FILES }))
    notes.push('Resource limits could not be lowered');

  const abi = landlockAbi();
  const born = isInDomain();
  if (abi === undefined) notes.push('The kernel offers no Landlock');
  else if (!born) notes.push('Landlock holds the main thread only');
  if (abi !== undefined) enterDomain(abi, { readable: [], executable: [] });
  if (abi !== undefined && abi < 4) notes.push(`Landlock ${abi} of this kernel does not know TCP connections`);
  if (abi !== undefined && abi < 6)
    notes.push(`Landlock ${abi} of this kernel does not know signals and abstract sockets`);

  const held = isWithoutRings();
  const { filter = (on: Machine, pid: number) => runFilter(on, [0, 1, ...options.packetDescriptors], pid) } = options;
  const seccomp = held && installFilter(filter(machine, process.pid));
  if (!seccomp) notes.push('The kernel offers no system call filter, or none that holds io_uring');
  return { landlock: born ? abi : undefined, seccomp, noNewPrivs, capabilities, uid: currentUser(), notes };
}

function currentUser(): number {
  return process.getuid?.() ?? 0;
}
