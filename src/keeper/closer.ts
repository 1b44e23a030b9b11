/**
 * What a daemon that died leaves behind (see `guard.ts`): runs the stop commands on disk when they are due, and ends when none
 * is left, when another daemon has taken over, or on SIGTERM, which is how a new daemon asks for the state file.
 */

import { bootId } from '../platform/boot.ts';
import { monotonicNow, wallNow } from '../platform/clock.ts';
import { unparkNodeOptions } from '../platform/node-options.ts';
import { runShell } from '../platform/process.ts';
import { openSyslog } from '../platform/syslog.ts';
import { after } from '../platform/timer.ts';
import { Commands } from './commands.ts';
import type { GuardSetup } from './guard.ts';
import { Journal } from './journal.ts';
import { Names } from './names.ts';
import { openLockedStops } from './open-stops.ts';
import { Openings } from './openings.ts';
import { PendingStops } from './pending-stops.ts';
import { lockState } from './state-lock.ts';

const LOCK_TRIES = 50;
const LOCK_PAUSE = 20;

async function main(setup: GuardSetup): Promise<void> {
  unparkNodeOptions(process.env);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  const journal = new Journal({
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    wallNow,
    openSyslog: () => openSyslog('knockd'),
  });
  journal.show({ verbose: setup.verbose, debug: false });
  journal.useSyslog(setup.syslog);
  journal.openFile(setup.logFile);

  if (!(await lock(setup.stateFile))) return;
  const { store, warnings } = openLockedStops(setup.stateFile);
  for (const warning of warnings) journal.error(warning);
  const commands = new Commands({
    run: runShell,
    after,
    idle: () => {
      if (stops.size === 0) finish();
    },
  });
  const stops: PendingStops = new PendingStops(store, {
    wallNow,
    after,
    boot: bootId(),
    run: (stop, ended) => openings.stop(stop, ended),
    storeFailed: (error) => journal.error(`warning: cannot record stop commands: ${(error as Error).message}`),
  });
  const openings = new Openings({ commands, stops, journal, names: new Names() });
  const finish = (): void => {
    stops.release();
    process.exit(0);
  };
  let leaving = false;
  process.on('SIGTERM', () => {
    if (leaving) return;
    leaving = true;
    const started = monotonicNow();
    const leave = (): void => {
      // A stop command that runs right now is waited for, so that the next daemon does not run it again.
      if (commands.outstanding > 0 && monotonicNow() - started < LONGEST_LEAVE) setTimeout(leave, LOCK_PAUSE);
      else finish();
    };
    leave();
  });
  process.on('SIGHUP', () => {});
  if (stops.adopt() === 0) finish();
}

const LONGEST_LEAVE = 2000;

/** The daemon's lock goes with it, but perhaps a moment after its end of the pipe. */
async function lock(stateFile: string): Promise<boolean> {
  for (let attempt = 0; attempt < LOCK_TRIES; attempt++) {
    try {
      if ('release' in lockState(stateFile, 'closer')) return true;
    } catch {
      // A disk where no lock can be made: better a stop command that runs twice than one that does not.
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, LOCK_PAUSE));
  }
  return false;
}

await main(JSON.parse(process.argv[2] ?? '') as GuardSetup);
