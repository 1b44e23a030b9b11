/** Who guards the ports of this network namespace: one file for each, in a folder that a sandboxed daemon may write to. */

import { statSync } from 'node:fs';

/** The file for `lockState`; undefined where the system has no network namespaces. */
export function guardLock(): string | undefined {
  try {
    return `/run/postern/net-${statSync('/proc/self/ns/net').ino}`;
  } catch {
    return undefined;
  }
}
