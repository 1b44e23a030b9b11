/** A confined process as `postern status` shows it. */

import type { Status } from '../control/controlled.ts';
import type { Confinement, Counts } from '../core/messages.ts';

/** `user 65527, landlock 7, seccomp`; what is not in force is said to be missing. */
export function describeConfinement({ landlock, seccomp, uid }: Confinement): string {
  const parts = [`user ${uid}`, landlock === undefined ? 'no landlock' : `landlock ${landlock}`];
  return [...parts, seccomp ? 'seccomp' : 'no seccomp'].join(', ');
}

/** The watcher: of one that has not begun there is nothing to count. */
export function describeWatcher(
  listening: { readonly watcherPid: number | undefined; readonly counts: Counts } | undefined,
  restarts: number,
  confinement: string,
): Status['watcher'] {
  const counts = listening?.counts;
  return {
    pid: listening?.watcherPid,
    restarts,
    attempts: counts?.attempts ?? 0,
    received: counts?.received ?? 0,
    lost: counts?.lost ?? 0,
    drops: counts?.drops ?? {},
    sighted: counts?.sighted ?? 0,
    strangers: counts?.strangers ?? 0,
    confinement,
  };
}
