/**
 * Ending a child that has become another user, without CAP_KILL: for one system call the calling thread takes that user's id on
 * (kill(2): the effective id of the sender counts). Real and saved id stay, so nobody of that user can reach this process meanwhile
 * (ptrace(2) and kill(2) ask for those). Raw calls, because setresuid(3) of the C library changes every thread.
 */

import { syscall } from './libc.ts';
import { syscallNumber, thisMachine } from './syscalls.ts';

const UNCHANGED = -1;

/** Sends a signal to a process of user `uid`; needs CAP_SETUID. False when it was not sent. */
export function killAs(uid: number, pid: number, signal: NodeJS.Signals): boolean {
  const own = process.geteuid?.();
  if (own === undefined || !thisMachine()) return false;
  try {
    become(uid);
  } catch {
    return false;
  }
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  } finally {
    become(own);
  }
}

/** The effective id of this thread alone. */
function become(uid: number): void {
  syscall('setresuid', syscallNumber('setresuid'), UNCHANGED, uid, UNCHANGED);
}
