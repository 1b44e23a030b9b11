/** Who guards the ports of this network namespace: one file for each, in a folder that a sandboxed daemon may write to. */

import { statSync } from 'node:fs';
import { lockState } from './state-lock.ts';

const LOOK_EVERY = 50;
/** The time that postern-guard.service gives it. */
const GUARD_TAKES = 30_000;
/** Between taking a lock and writing a name there are microseconds, on a machine that starts perhaps more. */
const NAMELESS = 500;

/** The file for `lockState`, of this process's namespace unless another is named; undefined where the system has none. */
export function guardLock(namespace = '/proc/self/ns/net'): string | undefined {
  try {
    return `/run/postern/net-${statSync(namespace).ino}`;
  } catch {
    return undefined;
  }
}

/**
 * Takes a lock as the daemon, like `lockState`, but waits for a `posternd --guard-only` that has it: a service manager told to start both may
 * start them at once.
 */
export async function lockAfterGuard(
  file: string,
  pause: (delay: number) => Promise<unknown>,
): Promise<ReturnType<typeof lockState>> {
  for (let waited = 0; ; waited += LOOK_EVERY) {
    const locked = lockState(file, 'daemon');
    if ('release' in locked) return locked;
    const patience = { guard: GUARD_TAKES, nobody: NAMELESS, daemon: 0, closer: 0 }[locked.holder?.role ?? 'nobody'];
    if (waited >= patience) return locked;
    await pause(LOOK_EVERY);
  }
}
