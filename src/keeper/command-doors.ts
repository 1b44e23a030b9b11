/**
 * Doors that open by commands, as knockd's do: commands, pending stops and the guard that outlives us, put together. A `dry` one
 * only says what it would run.
 */

import { bootId } from '../platform/boot.ts';
import { wallNow } from '../platform/clock.ts';
import { type RunningProgram, runShell } from '../platform/process.ts';
import { after } from '../platform/timer.ts';
import { openMemoryStops } from '../store/memory-stops.ts';
import { Commands } from './commands.ts';
import { Guard } from './guard.ts';
import type { Journal } from './journal.ts';
import type { Names } from './names.ts';
import { type KeptStops, openStops } from './open-stops.ts';
import { Openings } from './openings.ts';
import { PendingStops } from './pending-stops.ts';

export interface CommandDoors {
  readonly openings: Openings;
  /** What could not be had, for the log; matters only if a door has a stop command. */
  readonly warnings: readonly string[];
  /** Takes over stops from before; returns how many. */
  readonly adopt: () => number;
  /** What the closer has to know when it comes to that. */
  readonly setUpGuard: (log: GuardLog) => void;
  /** Resolves when no command runs or waits, or after `longest` milliseconds. */
  readonly idle: (longest: number) => Promise<void>;
  /** Commands run or stops are pending. */
  readonly busy: () => boolean;
  /** Stops that nobody else knows of: they were never on disk, and end with this process. */
  readonly unrecorded: () => number;
  /** Leaves the pending stops to the closer and the next start. */
  readonly release: () => void;
}

export interface GuardLog {
  readonly logFile: string | undefined;
  readonly syslog: boolean;
  readonly verbose: boolean;
}

export interface CommandDoorsSetup {
  readonly journal: Journal;
  readonly names: Names;
  readonly log: GuardLog;
  readonly dry: boolean;
  /** Where pending stops are kept; in memory without one. */
  readonly stateFile: string | undefined;
}

export async function openCommandDoors(setup: CommandDoorsSetup): Promise<CommandDoors> {
  const { journal, names, dry, stateFile } = setup;
  const kept: KeptStops =
    stateFile === undefined
      ? { store: openMemoryStops(), file: undefined, warnings: [] }
      : await openStops(stateFile, pause);
  const commands = new Commands({
    run: dry ? runNothing : runShell,
    after,
    idle: () => {
      if (stops.size === 0) guard?.dismiss();
    },
  });
  const file = kept.file;
  const guard = file === undefined ? undefined : new Guard({ stateFile: file, ...setup.log });
  let storeFailed = false;
  const stops: PendingStops = new PendingStops(kept.store, {
    wallNow,
    after,
    boot: bootId(),
    run: (stop, ended) => openings.stop(stop, ended),
    storeFailed: (error) => {
      if (!storeFailed) journal.error(`warning: cannot record stop commands: ${(error as Error).message}`);
      storeFailed = true;
    },
    scheduled: () => guard?.ensure(),
  });
  const openings = new Openings({ commands, stops, journal, names, dry });
  return {
    openings,
    warnings: kept.warnings,
    adopt: () => stops.adopt(),
    setUpGuard: (log) => {
      if (file !== undefined) guard?.setUp({ stateFile: file, ...log });
    },
    idle: async (longest) => {
      for (let waited = 0; commands.outstanding > 0 && waited < longest; waited += STEP) await pause(STEP);
    },
    busy: () => commands.outstanding > 0 || stops.size > 0,
    unrecorded: () => (file === undefined ? stops.size : 0),
    release: () => {
      // A stop command that runs or waits is on record until it has ended.
      if (stops.size === 0 && commands.outstanding === 0) guard?.dismiss();
      stops.release();
    },
  };
}

const STEP = 20;

function pause(delay: number): Promise<void> {
  return new Promise((resolve) => after(delay, resolve));
}

function runNothing(): RunningProgram {
  return { pid: undefined, ended: Promise.resolve({ status: 0 }), kill: () => {} };
}
