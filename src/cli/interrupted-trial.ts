/**
 * A trial that the end of the machine has interrupted: a reset, a power failure. Its rollback died with everything else, so whoever starts next
 * puts in force what was in force before; where nothing was, the file is put in force without closing anything.
 *
 * Where the file cannot be put back (a service may not write there), it is only left aside, at each start, until it is
 * written anew, applied or reloaded.
 */

import { renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { PosternConfig } from '../config/postern-config.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import { reasonOf } from '../keeper/journal.ts';
import { readInterrupted, rejectPending } from '../store/pending-change.ts';
import { posternCommand } from './daemon-socket.ts';
import { rejectedFile } from './take-back.ts';

export interface Settled {
  readonly config: PosternConfig;
  readonly text: string;
  /** For the log; whole sentences without an end. */
  readonly warnings: readonly string[];
}

/**
 * What is to be in force instead of a file that was tried when the machine went down; undefined when there was no such trial. `last`: nobody
 * comes after, so the file is put back and the trial is over.
 */
export function settleInterrupted(tried: PosternConfig, text: string, last: boolean): Settled | undefined {
  const pending = readInterrupted(tried.state.dir);
  if (!pending) return undefined;
  const { file, previous, tried: wording = text } = pending;
  // Somebody has written another one since, and started it.
  if (wording !== text) {
    if (last) forgetInterrupted(tried.state.dir);
    return undefined;
  }
  const before = previous === null ? undefined : parsed(previous, file);
  if (previous === null || !before) return observing(tried, text, file);
  const warnings = [`${file} was on trial when the machine went down: what was in force before is back`];
  try {
    if (last) {
      renameSync(file, rejectedFile(file));
      writeFileSync(file, previous, { mode: 0o600 });
      rejectPending(tried.state.dir);
    }
  } catch (error) {
    warnings.push(`Cannot put it back into the file: ${reasonOf(error)}: postern apply tries it anew`);
  }
  return { config: before, text: previous, warnings };
}

/** Somebody has put a configuration in force since: what was interrupted is over. */
export function forgetInterrupted(folder: string): void {
  try {
    if (readInterrupted(folder)) rejectPending(folder);
  } catch {
    // A disk that cannot be written: it is over all the same, until the next start.
  }
}

function observing(tried: PosternConfig, text: string, file: string): Settled {
  const says = /^mode[ \t]*=.*$/m;
  const open = says.test(text) ? text.replace(says, 'mode = "observe"') : `mode = "observe"\n${text}`;
  const hint = `${posternCommand(file, 'apply')} tries it anew`;
  return {
    config: { ...tried, mode: 'observe' },
    text: open,
    warnings: [
      `${file} was on trial when the machine went down, and nothing was guarded before: nothing is closed; ${hint}`,
    ],
  };
}

function parsed(text: string, file: string): PosternConfig | undefined {
  const result = parsePosternToml(text, { file, directory: dirname(file) });
  return result.ok ? result.config : undefined;
}
