/**
 * Which boot of the machine this is. The kernel has a text for it (random(4)), but a container shows another over it, and a service that is
 * given a /proc of its own sees the kernel's again: daemon and commands would not agree. So whoever is the first of them leaves an id in a
 * folder that goes with the machine, and all take it from there; the kernel's is for machines whose /run is on a disk, and for readers
 * who are not root.
 */

import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createFolder } from './folder.ts';

/** statfs(2). */
const TMPFS = 0x01021994;
/** Both services may write there. */
const FOLDER = '/run/postern';

/** Another text after each start of the machine; undefined where the system tells none. */
export function bootId(folder = FOLDER): string | undefined {
  return leftId(folder) ?? readId('/proc/sys/kernel/random/boot_id');
}

function leftId(folder: string): string | undefined {
  const file = `${folder}/boot`;
  const own = `${file}.${process.pid}`;
  try {
    createFolder(folder);
    if (statfsSync(folder).type !== TMPFS) return undefined;
    const left = readId(file);
    if (left !== undefined) return left;
    writeFileSync(own, `${randomUUID()}\n`, { mode: 0o600 });
    // Of two who are first at once, one has it.
    linkSync(own, file);
  } catch {
    // The other one, or nobody who may write there.
  }
  rmSync(own, { force: true });
  return readId(file);
}

function readId(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
