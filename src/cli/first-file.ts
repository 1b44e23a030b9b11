/** What to do where there is no configuration. */

import { existsSync } from 'node:fs';
import { posternCommand } from './daemon-socket.ts';
import { absolute } from './load-knockd-conf.ts';
import type { LoadedToml } from './load-postern-toml.ts';
import { rejectedFile } from './take-back.ts';

/** The way on from a file that is missing. */
export function firstFile(shown: string): string {
  const rejected = rejectedFile(absolute(shown));
  if (!existsSync(rejected)) return `Write a first one: ${posternCommand(shown, 'init')}`;
  return `What was tried and not confirmed is ${rejected}: move it back, correct it, ${posternCommand(shown, 'apply')}`;
}

/** The same, as a line behind the complaint; none where something else is wrong. */
export function hintForMissing({ missing }: LoadedToml, shown: string): readonly string[] {
  return missing ? [`hint: ${firstFile(shown)}`] : [];
}
