/** Both halves as `postern status` shows them. */

import type { Status } from '../control/controlled.ts';
import type { Counts } from '../core/messages.ts';
import { heldCapabilities } from '../platform/capabilities.ts';

/** This process, and the watcher: of one that has not begun there is nothing to count. */
export function describeHalves(...watcher: Parameters<typeof describeWatcher>): Pick<Status, 'keeper' | 'watcher'> {
  const capabilities = process.platform === 'linux' ? heldCapabilities() : [];
  return { watcher: describeWatcher(...watcher), keeper: { pid: process.pid, capabilities } };
}

function describeWatcher(
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
