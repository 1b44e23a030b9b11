/**
 * `postern rollback`, which people do not call: waits for the end of a trial and takes the change back, unless it was confirmed. It stands on
 * its own feet: the daemon may be dead by then, and the session that armed it gone.
 */

import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import type { PosternConfig } from '../config/postern-config.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import { parseDuration } from '../config/quantity.ts';
import { connectControl } from '../control/client.ts';
import { openDriver, resolveFace } from '../firewall/drivers.ts';
import { lockState } from '../keeper/state-lock.ts';
import { forgetApplied, type PendingChange, readPending, rejectPending } from '../store/pending-change.ts';
import { readDurationText } from './arguments.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import type { Terminal } from './terminal.ts';

const LOOK_EVERY = 500;
/** What a daemon takes to end. */
const FAREWELL = 5000;

export function addRollback(program: Command, end: (status: number) => void, terminal: Terminal): void {
  program
    .command('rollback', { hidden: true })
    .description('take back a change that nobody confirmed')
    .requiredOption('--state <folder>', 'the folder of the state')
    .requiredOption('--token <token>', 'which change')
    .addOption(new Option('--after <duration>', 'how long to wait before').argParser(readDurationText))
    .action(async (options: { state: string; token: string; after?: string }) => {
      // The terminal that armed it may go; it may not.
      for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
      const folder = absolute(options.state);
      const reading = parseDuration(options.after ?? '0s');
      let left = 'value' in reading ? reading.value : 0;
      const isPending = (): boolean => readPending(folder)?.token === options.token;
      for (; left > 0 && isPending(); left -= LOOK_EVERY) await pause(Math.min(left, LOOK_EVERY));
      const change = readPending(folder);
      if (change?.token !== options.token) return end(0);
      try {
        await takeBack(change);
        rejectPending(folder);
        end(0);
      } catch (error) {
        terminal.stderr.write(`postern: Cannot take the change back: ${(error as Error).message}\n`);
        end(1);
      }
    });
}

async function takeBack(change: PendingChange): Promise<void> {
  const tried = loadPosternToml(change.file, { shownAs: change.file, strict: false, starting: true }).config;
  if (change.previous === null) {
    if (tried) await stopDaemon(tried.state.dir);
    await withDriver(tried?.firewall ?? { driver: 'nftables' }, (driver) => driver.remove());
    if (tried) forgetApplied(tried.state.dir);
    return;
  }
  if (existsSync(change.file)) renameSync(change.file, `${change.file}.rejected`);
  writeFileSync(change.file, change.previous, { mode: 0o600 });
  const result = parsePosternToml(change.previous, { file: change.file, directory: dirname(change.file) });
  if (!result.ok) throw new Error(`${change.file}: what was in force before cannot be read any more`);
  if (await reloads(result.config)) return;
  const { doors, allow, mode, firewall } = result.config;
  const face = await resolveFace(firewall.face);
  await withDriver(firewall, (driver) =>
    driver.install({ doors, trusted: allow, observe: mode === 'observe', ipv6Prefix: firewall.ipv6Prefix, ...face }),
  );
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

async function stopDaemon(folder: string): Promise<void> {
  const lock = lockState(`${folder}/state`, 'daemon');
  if ('release' in lock) return lock.release();
  if (lock.holder === undefined) return;
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
