/** Where a process listens for others of this machine: proc_pid_net(5) and proc_pid_fd(5). Linux; elsewhere nothing is known. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** `__SO_ACCEPTCON` in the column of flags. */
const LISTENING = '00010000';

/** The paths of the Unix sockets on which process `pid` listens; none where that cannot be seen. */
export function socketsOf(pid: number): readonly string[] {
  try {
    const listening = new Map<string, string>();
    for (const line of readFileSync(`/proc/${pid}/net/unix`, 'utf8').split('\n')) {
      const [, flags, inode = '', path] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (\/.*)$/.exec(line) ?? [];
      if (flags === LISTENING && path !== undefined) listening.set(`socket:[${inode}]`, path);
    }
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).flatMap((fd) => listening.get(linkOf(`${folder}/${fd}`)) ?? []);
  } catch {
    return [];
  }
}

/** Empty for a descriptor that was closed meanwhile. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
