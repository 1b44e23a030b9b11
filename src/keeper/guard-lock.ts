/** Who guards the ports of this network namespace: one file for each, in a folder that a sandboxed daemon may write to. */

import { statSync } from 'node:fs';

/** The file for `lockState`, of this process's namespace unless another is named; undefined where the system has none. */
export function guardLock(namespace = '/proc/self/ns/net'): string | undefined {
  try {
    return `/run/postern/net-${statSync(namespace).ino}`;
  } catch {
    return undefined;
  }
}
