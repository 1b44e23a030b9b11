/** What to do where there is no configuration. */

import { existsSync } from 'node:fs';
import { posternCommand } from './daemon-socket.ts';
import { absolute } from './load-knockd-conf.ts';
import type { LoadedToml } from './load-postern-toml.ts';
import { rejectedFile } from './take-back.ts';

/** A line for people, behind the complaint that the file is missing; none where something else is wrong. */
export function hintForMissing({ missing }: LoadedToml, shown: string): readonly string[] {
  if (!missing) return [];
  const rejected = rejectedFile(absolute(shown));
  if (!existsSync(rejected)) return [`hint: Write a first one: ${posternCommand(shown, 'init')}`];
  return [`hint: ${rejected} was tried and not confirmed: move it back, correct it, ${posternCommand(shown, 'apply')}`];
}
