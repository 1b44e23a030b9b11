/** The watcher as `postern status` shows it. */

import type { Status } from '../control/controlled.ts';
import type { Counts } from '../core/messages.ts';

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
