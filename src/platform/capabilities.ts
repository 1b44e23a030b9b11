/**
 * Giving up the capabilities of the calling thread (capabilities(7)): what it holds, what it could inherit, what a program it
 * starts could be given. Capabilities belong to threads: call this before a program replaces itself, and its threads have none.
 */

import { prctl, SystemError, syscall } from './libc.ts';
import { syscallNumber } from './syscalls.ts';

const VERSION_3 = 0x20080522;
const PR_CAPBSET_DROP = 24;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;

export const CAP_DAC_READ_SEARCH = 2;
export const CAP_KILL = 5;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_NET_ADMIN = 12;
export const CAP_NET_RAW = 13;

/** Drops every capability but `keep`, from the bounding set too where the thread may. Throws when the kernel refuses. */
export function dropCapabilities(keep: readonly number[] = []): void {
  // The bounding set only matters to what is executed later, which no_new_privs covers as well; without CAP_SETPCAP it stays.
  attempt(() => {
    for (let capability = 0; capability < 64; capability++) {
      if (!keep.includes(capability)) prctl(PR_CAPBSET_DROP, capability);
    }
  });
  attempt(() => prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL));
  const permitted = (readSets()[PERMITTED] ?? 0) & maskOf(keep);
  writeSets(Uint32Array.of(permitted, permitted, 0, 0, 0, 0));
}

/** Does the calling thread hold any capability but these (of 0 to 31)? */
export function holdsMoreThan(keep: readonly number[]): boolean {
  const [, low = 0, , , high = 0] = readSets();
  return (low & ~maskOf(keep)) !== 0 || high !== 0;
}

/** Does something as a thread that has these of its capabilities (of 0 to 31) and no others; then it has them all again. */
export function withOnly<T>(keep: readonly number[], action: () => T): T {
  const before = readSets();
  const [effective = 0, permitted = 0, inheritable = 0, , high = 0, highInheritable = 0] = before;
  writeSets(Uint32Array.of(effective & maskOf(keep), permitted, inheritable, 0, high, highInheritable));
  try {
    return action();
  } finally {
    writeSets(before);
  }
}

/** May the calling thread use this capability (one of 0 to 31)? */
export function hasCapability(capability: number): boolean {
  return ((readSets()[PERMITTED] ?? 0) & (1 << capability)) !== 0;
}

/** Whether the calling thread holds, or could take up again, any capability. */
export function holdsCapabilities(): boolean {
  return readSets().some((word) => word !== 0);
}

/** By their numbers (capability.h). */
const NAMES =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'.split(
    ' ',
  );

/** What the calling thread holds, by name: `CAP_NET_ADMIN`. */
export function heldCapabilities(): readonly string[] {
  const sets = readSets();
  return Array.from({ length: 64 }, (_, capability) => capability)
    .filter((capability) => ((sets[capability < 32 ? PERMITTED : PERMITTED + 3] ?? 0) & (1 << (capability & 31))) !== 0)
    .map(capabilityName);
}

export function capabilityName(capability: number): string {
  return `CAP_${NAMES[capability] ?? capability}`;
}

const PERMITTED = 1;

function maskOf(capabilities: readonly number[]): number {
  return capabilities.reduce((bits, capability) => bits | (1 << capability), 0);
}

/** Two structures of effective, permitted, inheritable: capabilities 0 to 31, then 32 to 63. */
function writeSets(sets: Uint32Array): void {
  syscall('capset', syscallNumber('capset'), capabilityHeader(), new Uint8Array(sets.buffer));
}

function readSets(): Uint32Array {
  const header = capabilityHeader();
  const sets = new Uint8Array(24);
  syscall('capget', syscallNumber('capget'), header, sets);
  return new Uint32Array(sets.buffer);
}

/** struct __user_cap_header_struct for the calling thread. */
function capabilityHeader(): Uint8Array {
  return new Uint8Array(Uint32Array.of(VERSION_3, 0).buffer);
}

/** EINVAL ends the list of capabilities this kernel knows; EPERM means the thread may not, and needs not. */
function attempt(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof SystemError) || (error.code !== 'EINVAL' && error.code !== 'EPERM')) throw error;
  }
}
