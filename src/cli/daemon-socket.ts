/** Which socket a command talks to: `--socket`, else what the configuration says, else the one of a configuration without a word about it. */

import { existsSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { controlSocketOf } from '../config/control-socket.ts';
import { ControlError } from '../control/client.ts';
import { guardLock } from '../keeper/guard-lock.ts';
import { reasonOf } from '../keeper/journal.ts';
import { holderOf } from '../keeper/state-lock.ts';
import { socketsOf } from '../platform/unix-listeners.ts';
import { absolute } from './load-knockd-conf.ts';
import { isPosternToml } from './load-postern-toml.ts';

export const DEFAULT_CONFIG = '/etc/postern/postern.toml';
export const DEFAULT_SOCKET = '/var/lib/postern/control.sock';

/** Where knockd keeps its own. */
export const KNOCKD_CONFIG = '/etc/knockd.conf';

/** The configuration that is meant when none is named: knockd's only where there is no other. */
export function usualConfig(): string {
  return !existsSync(DEFAULT_CONFIG) && existsSync(KNOCKD_CONFIG) ? KNOCKD_CONFIG : DEFAULT_CONFIG;
}

/** For whoever finds nobody there: why this socket was tried. */
export function socketOrigin(command: Command): string {
  const { config, socket } = command.optsWithGlobals<{ config?: string; socket?: string }>();
  if (socket !== undefined) return 'as --socket says';
  const file = config ?? DEFAULT_CONFIG;
  if (!existsSync(absolute(file))) return `the usual one: there is no ${file}`;
  return socketOf(command) === DEFAULT_SOCKET ? `the usual one: ${file} names no other` : `the one of ${file}`;
}

/** Where the daemon that guards this host listens, whatever a file says that was changed since it began; only root can see that. */
export function runningSocket(): string | undefined {
  const file = guardLock();
  const holder = file === undefined ? undefined : holderOf(file);
  return holder?.role === 'daemon' ? socketsOf(holder.pid)[0] : undefined;
}

/** Throws a `ControlError` that says why it cannot be told. */
export function socketOf(command: Command): string {
  const { config, socket } = command.optsWithGlobals<{ config?: string; socket?: string }>();
  if (socket !== undefined) return absolute(socket);
  const file = absolute(config ?? DEFAULT_CONFIG);
  // knockd's format has no word for it.
  if (file.endsWith('.conf') && !isPosternToml(file)) return DEFAULT_SOCKET;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (config === undefined) return DEFAULT_SOCKET;
    throw new ControlError(
      'lost',
      `${config}: ${reasonOf(error)}`,
      'Name the socket itself: postern --socket FILE ...',
    );
  }
  const found = controlSocketOf(text, file);
  if (found === undefined) {
    const hint = `Correct it (postern check ${config ?? file}), or name the socket itself: postern --socket FILE ...`;
    throw new ControlError('lost', `Cannot tell from ${config ?? file} where the daemon listens`, hint);
  }
  return found;
}
