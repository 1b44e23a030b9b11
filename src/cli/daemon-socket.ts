/** Which daemon a command talks to: the one at `--socket`, else where the configuration says, else where one without a word about it is. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { type Whereabouts, whereaboutsOf } from '../config/whereabouts.ts';
import { ControlError } from '../control/client.ts';
import { guardLock } from '../keeper/guard-lock.ts';
import { reasonOf } from '../keeper/journal.ts';
import { holderOf } from '../keeper/state-lock.ts';
import { socketsOf } from '../platform/unix-listeners.ts';
import { absolute } from './load-knockd-conf.ts';
import { isPosternToml } from './load-postern-toml.ts';

export const DEFAULT_CONFIG = '/etc/postern/postern.toml';
export const DEFAULT_SOCKET = '/var/lib/postern/control.sock';
/** Of a configuration without a word about it. */
const USUAL: Whereabouts = { socket: DEFAULT_SOCKET, state: dirname(DEFAULT_SOCKET), ipv6Prefix: 64 };

/** What to type; the usual file goes without saying. */
export function posternCommand(config: string, words: string): string {
  return config === DEFAULT_CONFIG ? `postern ${words}` : `postern --config ${config} ${words}`;
}

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

/** The daemon that guards this host, as far as only root can see it. */
export function runningDaemon(): number | undefined {
  const file = guardLock();
  const holder = file === undefined ? undefined : holderOf(file);
  return holder?.role === 'daemon' ? holder.pid : undefined;
}

/** Where it listens, whatever a file says that was changed since it began. Nowhere yet, while it starts. */
export function runningSocket(): string | undefined {
  const pid = runningDaemon();
  return pid === undefined ? undefined : socketsOf(pid)[0];
}

/** Throws a `ControlError` that says why it cannot be told. */
export function socketOf(command: Command): string {
  const { socket } = command.optsWithGlobals<{ socket?: string }>();
  return socket === undefined ? configured(command).socket : absolute(socket);
}

/** Where the daemon of this command keeps its state, and by which networks sources; undefined when only its socket is known. */
export function stateOf(command: Command): Pick<Whereabouts, 'state' | 'ipv6Prefix'> | undefined {
  const { config, socket } = command.optsWithGlobals<{ config?: string; socket?: string }>();
  return socket !== undefined && config === undefined ? undefined : configured(command);
}

function configured(command: Command): Whereabouts {
  const { config } = command.optsWithGlobals<{ config?: string }>();
  const file = absolute(config ?? DEFAULT_CONFIG);
  // knockd's format has no word for it.
  if (file.endsWith('.conf') && !isPosternToml(file)) return USUAL;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (config === undefined) return USUAL;
    throw new ControlError(
      'lost',
      `${config}: ${reasonOf(error)}`,
      'Name the socket itself: postern --socket FILE ...',
    );
  }
  const found = whereaboutsOf(text, file);
  if (found === undefined) {
    const hint = `Correct it (postern check ${config ?? file}), or name the socket itself: postern --socket FILE ...`;
    throw new ControlError('lost', `Cannot tell from ${config ?? file} where the daemon listens`, hint);
  }
  return found;
}
