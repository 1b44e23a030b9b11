/**
 * What posternd keeps of root's capabilities: those of the firewall and of packet sockets. Whoever has more gives the rest up, and before that
 * starts the zygote that the confined processes will come from. Hooks are the administrator's own programs and run as root can: with any, all is kept.
 */

import { closeSync, openSync } from 'node:fs';
import type { PosternConfig } from '../config/postern-config.ts';
import { CONTROL_GROUP } from '../control/server.ts';
import { handOnZygote, startZygote, takeZygote, type ZygoteLine } from '../keeper/zygote.ts';
import { groupId } from '../platform/accounts.ts';
import { CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_NET_RAW, withOnly } from '../platform/capabilities.ts';
import { entry } from '../platform/entry.ts';
import { canShed, shedCapabilities } from '../platform/shedding.ts';
import { after } from '../platform/timer.ts';

const NEEDED = [CAP_NET_ADMIN, CAP_NET_RAW] as const;

export interface Privileges {
  /** Absent where the daemon starts its confined processes itself. */
  readonly zygote?: ZygoteLine;
  readonly warnings: readonly string[];
}

export function hasHooks(config: PosternConfig): boolean {
  return config.doors.some(({ hooks }) => hooks.onOpen || hooks.onClose);
}

/** Gives up what can be; then the program begins anew, and gets here again. `files` are those that the daemon has to read later on. */
export async function reducePrivileges(
  config: PosternConfig,
  files: readonly string[],
  { confines }: { readonly confines: boolean },
): Promise<Privileges> {
  const zygote = takeZygote();
  if (zygote !== undefined) return { zygote, warnings: [] };
  if (hasHooks(config)) return { warnings: [] };
  const keep = canShed(NEEDED) && !canRead([...files, ...ownFiles()]) ? [...NEEDED, CAP_DAC_READ_SEARCH] : NEEDED;
  if (!canShed(keep)) return { warnings: [] };
  joinControlGroup();
  if (!confines) {
    shedCapabilities(keep, {});
    return { warnings: [] };
  }
  const started = await startZygote(after);
  if (started === undefined)
    return {
      warnings: ['The process that is to start the watcher does not start: the daemon keeps all its capabilities'],
    };
  shedCapabilities(keep, handOnZygote(started));
  return { zygote: started, warnings: [] };
}

/** Someone else's files: root reads them by a capability alone. */
function canRead(files: readonly string[]): boolean {
  return withOnly(NEEDED, () =>
    files.every((file) => {
      try {
        closeSync(openSync(file, 'r'));
        return true;
      } catch {
        return false;
      }
    }),
  );
}

/** What this program consists of, and the runtime. */
function ownFiles(): readonly string[] {
  return [process.execPath, entry('cage/confine').script];
}

/** Who is of a group may give it a file of his own without a capability: the control socket. */
function joinControlGroup(): void {
  const gid = groupId(CONTROL_GROUP);
  const groups = process.getgroups?.() ?? [];
  if (gid === undefined || groups.includes(gid)) return;
  try {
    process.setgroups?.([...groups, gid]);
  } catch {
    // Then the socket stays root's, and the log says so.
  }
}
