/** The tarpit's cage: that of the watcher (`platform/sandbox.ts`), with room for its connections and a filter of its own. */

import { fstatSync } from 'node:fs';
import type { Account } from '../platform/accounts.ts';
import { type ConfinementReport, confine } from '../platform/sandbox.ts';
import { tarpitFilter } from '../platform/seccomp.ts';

/** Descriptors besides connections: the runtime's own, all of which are open by now. */
const OWN_FILES = 64;

/** Shuts this process in for good. What it has open now it may read and write; what it accepts later it can only send to. */
export function shutIn(listeners: readonly number[], connections: number, account: Account): ConfinementReport {
  const own = openDescriptors().filter((fd) => !listeners.includes(fd));
  return confine({
    packetDescriptors: [],
    account,
    files: connections + OWN_FILES,
    filter: (machine, pid) =>
      tarpitFilter(machine, listeners, { readable: own, writable: own.filter((fd) => fd > 1) }, pid),
  });
}

/** The runtime's own have low numbers; in here nobody may list a directory. */
function openDescriptors(): readonly number[] {
  return Array.from({ length: OWN_FILES }, (_, fd) => fd).filter((fd) => {
    try {
      fstatSync(fd);
      return true;
    } catch {
      return false;
    }
  });
}
