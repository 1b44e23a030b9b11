/**
 * `posternd --guard-only`: puts the guard of a configuration in force and ends, so that doors are closed before there is a network. The
 * daemon takes it over when it starts. Doors with `boot = "open"` are left as they are until then. Where a daemon runs, its guard stays.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import { openDriver, resolveFace } from '../firewall/drivers.ts';
import { guardLock } from '../keeper/guard-lock.ts';
import { lockState } from '../keeper/state-lock.ts';
import { guardOf } from '../keeper/warden-config.ts';

/** Resolves to what was done, for people. Throws a `FirewallError` when the firewall refuses. */
export async function installGuard(config: PosternConfig): Promise<string> {
  const release = lockGuard();
  if (release === undefined) return 'a daemon runs, and guards the ports already';
  const driver = openDriver(config.firewall.driver, config.firewall);
  try {
    const doors = config.doors.filter(({ boot }) => boot === 'closed');
    const face = await resolveFace(config.firewall.face);
    await driver.install({ ...guardOf({ ...config, doors }), ...face });
    return `guarded until the daemon takes over: ${doors.map(({ name }) => name).join(', ') || 'no door'}`;
  } finally {
    await driver.stop();
    release();
  }
}

/** Undefined when a daemon has it. A disk that cannot be written, so early, is no reason to leave doors open. */
function lockGuard(): (() => void) | undefined {
  const file = guardLock();
  if (file === undefined) return () => {};
  try {
    const locked = lockState(file, 'guard');
    return 'release' in locked ? locked.release : undefined;
  } catch {
    return () => {};
  }
}
