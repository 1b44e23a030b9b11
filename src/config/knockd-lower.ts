/**
 * From what knockd.conf says to doors: `Door` is how it is knocked on, the rest is what the keeper does when it opens. Times become
 * milliseconds, the defaults are knockd's (25 s for the sequence, 10 s for the command), and an absent command stays
 * different from an empty one.
 */

import type { Door, Step, TcpFlags } from '../core/door.ts';
import type { DoorKey } from './knockd-keys.ts';
import { fromBytes } from './knockd-lines.ts';
import { readTarget } from './knockd-target.ts';
import { atoi } from './knockd-values.ts';
import type { OneTimeEntry } from './one-time.ts';
import { lowerStrays } from './strays.ts';

const SEQ_TIMEOUT = 25;
const CMD_TIMEOUT = 10;

/** A value as written, a byte string, and its line. */
export interface Setting {
  readonly value: string;
  readonly line: number;
}

/** A door section as it was read; a later directive has replaced an earlier one of the same name. */
export interface DoorDraft {
  /** As text, cut as knockd cuts it. */
  readonly name: string;
  readonly line: number;
  readonly settings: Map<DoorKey, Setting>;
  /** The sequence in force: the last of `Sequence` and `One_Time_Sequences`. */
  steps: readonly Step[];
  tcpFlags: TcpFlags;
  oneTime?: OneTimeSource;
}

export interface OneTimeSource {
  readonly path: string;
  /** The line in force; absent when a `Sequence` after `One_Time_Sequences` serves the first knock and the file the later ones. */
  readonly current?: OneTimeEntry;
}

export interface KnockdDoor {
  readonly knock: Door;
  /** The line of the section's header. */
  readonly line: number;
  /** Run with `sh -c`; '' runs nothing and skips the stop command, absent is the same. */
  readonly startCommand?: string;
  /** For IPv6 sources instead of `startCommand`; '' runs nothing for them, absent falls back. */
  readonly startCommand6?: string;
  /** Due `cmdTimeout` after the start command has ended; '' only waits, absent does not even wait. */
  readonly stopCommand?: string;
  /** For IPv6 sources instead of `stopCommand`; absent falls back. */
  readonly stopCommand6?: string;
  /** Milliseconds; may exceed what a timer takes (a negative value is 136 years, as in knockd). */
  readonly cmdTimeout: number;
  readonly oneTime?: OneTimeSource;
  /** `Target` as written, for `knockd -D`. The one that counts is in `knock`. */
  readonly targetText?: string;
}

/** Makes the door of a section. */
export function lowerDoor(draft: DoorDraft, strays: number): KnockdDoor {
  const { settings } = draft;
  const text = (key: DoorKey): string | undefined => {
    const setting = settings.get(key);
    return setting && fromBytes(setting.value);
  };
  const seconds = (key: DoorKey, fallback: number): number => {
    const setting = settings.get(key);
    return setting ? atoi(setting.value) : fallback;
  };
  const targetText = text('Target');
  const startCommand = text('Start_Command');
  const startCommand6 = text('Start_Command_6');
  const stopCommand = text('Stop_Command');
  const stopCommand6 = text('Stop_Command_6');
  return {
    knock: {
      name: draft.name,
      steps: draft.steps,
      window: Math.max(0, seconds('Seq_Timeout', SEQ_TIMEOUT)) * 1000,
      strays: lowerStrays(draft.steps, strays),
      tcpFlags: draft.tcpFlags,
      ...(targetText !== undefined && { target: readTarget(targetText).address }),
    },
    line: draft.line,
    ...(startCommand !== undefined && { startCommand }),
    ...(startCommand6 !== undefined && { startCommand6 }),
    ...(stopCommand !== undefined && { stopCommand }),
    ...(stopCommand6 !== undefined && { stopCommand6 }),
    // knockd hands the number to sleep(3), which takes it as unsigned.
    cmdTimeout: (seconds('Cmd_Timeout', CMD_TIMEOUT) >>> 0) * 1000,
    ...(draft.oneTime && { oneTime: draft.oneTime }),
    ...(targetText !== undefined && { targetText }),
  };
}
