/** What options and configuration of knockd come to together: the file's word counts before the command line's, as in knockd. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import type { KnockdConfig } from '../config/knockd-conf.ts';
import type { KnockdDoor } from '../config/knockd-lower.ts';
import type { KnockedDoor } from '../keeper/keeper.ts';
import type { OpenableDoor } from '../keeper/openings.ts';
import { interfaceIndex } from '../platform/libc.ts';
import type { KnockdOptions } from './knockd-options.ts';

export type CommandDoor = KnockedDoor & OpenableDoor;

const DEFAULT_INTERFACE = 'eth0';
const DEFAULT_PID_FILE = '/var/run/knockd.pid';

/** What `-i` or `Interface` says, as it is written. */
export function interfaceTextOf(options: KnockdOptions, config: KnockdConfig): string {
  return config.interface || options.interface || DEFAULT_INTERFACE;
}

/** `eth0,wg0` is two interfaces, unless one has that very name; `any` has all others in it. None is in `,`. */
export function splitInterfaces(text: string): readonly string[] {
  if (!text.includes(',') || interfaceIndex(text) !== 0) return [text];
  const names = new Set(text.split(',').map((name) => name.trim()));
  names.delete('');
  return names.has('any') ? ['any'] : [...names];
}

export function logFileOf(options: KnockdOptions, config: KnockdConfig): string | undefined {
  const path = config.logFile ?? options.logFile;
  return path === '' ? undefined : path;
}

export function pidFileOf(options: KnockdOptions, config: KnockdConfig): string {
  return config.pidFile ?? options.pidFile ?? DEFAULT_PID_FILE;
}

/** The folder of the pending stop commands. */
export function stateFolder(options: KnockdOptions): string {
  if (options.state !== undefined) return options.state;
  if (process.getuid?.() === 0) return '/var/lib/postern';
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'postern');
}

/** What the keeper owns: doors under keys that survive a restart. A replay that runs nothing leaves nothing to stop. */
export function commandDoors(doors: readonly KnockdDoor[], dry: boolean): readonly CommandDoor[] {
  const seen = new Map<string, number>();
  return doors.map((door) => {
    const { name } = door.knock;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    const { startCommand, startCommand6, stopCommand, stopCommand6 } = door;
    return {
      name,
      key: count === 1 ? name : `${name}#${count}`,
      commands: dry ? { startCommand, startCommand6 } : { startCommand, startCommand6, stopCommand, stopCommand6 },
      cmdTimeout: door.cmdTimeout,
      knock: door.knock,
      ...(door.oneTime && { oneTime: { path: door.oneTime.path, offset: door.oneTime.current?.offset ?? -1 } }),
    };
  });
}
