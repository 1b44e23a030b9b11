/**
 * What was in force before a change, put back: the file, and the guard in the kernel. Whoever does it stands on his own feet: the daemon may
 * be dead by then, and the file that was tried may be anything, so what is to be ended and removed is known from the state.
 */

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { PosternConfig } from '../config/postern-config.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import { connectControl } from '../control/client.ts';
import { openDriver, resolveFace } from '../firewall/drivers.ts';
import { lockState } from '../keeper/state-lock.ts';
import { guardOf } from '../keeper/warden-config.ts';
import { forgetApplied, type PendingChange, readApplied, readPending, rejectPending } from '../store/pending-change.ts';
import { lockTrial } from '../store/trial-lock.ts';
import { stopDaemonUnit, unitOf } from './daemon-unit.ts';
import { loadPosternToml } from './load-postern-toml.ts';

const LOOK_EVERY = 500;
/** What a daemon takes to end. */
const FAREWELL = 5000;

/**
 * Ends the trial of this token, whose state is in `folder`: what was in force before is back. `over` when it has ended, `busy` when
 * somebody else is at it (who may die of it: look again). Throws what the firewall or the disk refuses; then it can be tried again.
 */
export async function takeBack(token: string, folder: string): Promise<'done' | 'busy' | 'over'> {
  if (readPending(folder)?.token !== token) return 'over';
  const lock = lockTrial(folder);
  if (!lock) return 'busy';
  try {
    const change = readPending(folder);
    if (change?.token !== token) return 'over';
    if (change.previous === null) await removeAll(change, folder);
    else await putBack(change.file, change.previous);
    rejectPending(folder);
    return 'done';
  } finally {
    lock.release();
  }
}

/** Where the file that was tried lies afterwards: under its own name nobody shall start it untried. */
export function rejectedFile(file: string): string {
  return `${file}.rejected`;
}

function layAside(file: string): void {
  if (existsSync(file)) renameSync(file, rejectedFile(file));
}

/** There was no guard before. */
async function removeAll({ file }: PendingChange, folder: string): Promise<void> {
  const applied = readApplied(folder);
  await stopDaemon(folder, file);
  await withDriver(firewallOf(applied, file), (driver) => driver.remove());
  forgetApplied(folder);
  layAside(file);
}

/** Of the text in force; else of the file, which somebody may have edited since. */
function firewallOf(applied: string | undefined, file: string): Pick<PosternConfig['firewall'], 'driver' | 'command'> {
  const inForce = applied === undefined ? undefined : parsePosternToml(applied, { file, directory: dirname(file) });
  if (inForce?.ok) return inForce.config.firewall;
  return (
    loadPosternToml(file, { shownAs: file, strict: false, starting: true }).config?.firewall ?? { driver: 'nftables' }
  );
}

async function putBack(file: string, previous: string): Promise<void> {
  // At a second attempt it is there.
  if (!existsSync(file) || readFileSync(file, 'utf8') !== previous) {
    layAside(file);
    writeFileSync(file, previous, { mode: 0o600 });
  }
  const result = parsePosternToml(previous, { file, directory: dirname(file) });
  if (!result.ok) throw new Error(`${file}: what was in force before cannot be read any more`);
  if (await reloads(result.config)) return;
  const { firewall } = result.config;
  const face = await resolveFace(firewall.face);
  await withDriver(firewall, (driver) => driver.install({ ...guardOf(result.config), ...face }));
}

/** False when no daemon answers. */
async function reloads({ control }: PosternConfig): Promise<boolean> {
  try {
    using client = await connectControl(control.socket);
    await client.reload();
    return true;
  } catch {
    return false;
  }
}

async function stopDaemon(folder: string, file: string): Promise<void> {
  const lock = lockState(`${folder}/state`, 'daemon');
  if ('release' in lock) return lock.release();
  if (lock.holder === undefined) return;
  if ((await unitOf(file))?.pid === lock.holder.pid && (await stopDaemonUnit())) return;
  process.kill(lock.holder.pid, 'SIGTERM');
  for (let waited = 0; waited < FAREWELL; waited += LOOK_EVERY) {
    const again = lockState(`${folder}/state`, 'daemon');
    if ('release' in again) return again.release();
    await pause(LOOK_EVERY);
  }
  process.kill(lock.holder.pid, 'SIGKILL');
}

async function withDriver(
  firewall: { readonly driver: string; readonly command?: readonly string[] },
  act: (driver: ReturnType<typeof openDriver>) => Promise<unknown>,
): Promise<void> {
  const driver = openDriver(firewall.driver, firewall);
  try {
    await act(driver);
  } finally {
    await driver.stop();
  }
}
