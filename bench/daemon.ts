/**
 * The two contestants behind one face: our knockd as installed, and Debian's. Both run in the foreground on the server's eth0 with
 * the same configuration file and write the same log file; nothing else differs.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../test/support/netns.ts';
import { findProgram, type Running } from '../test/support/running.ts';
import { busyMicroseconds, cpuMicroseconds, type Memory, memoryOf, processTree } from './processes.ts';

export type Contestant = 'ours' | 'knockd';

export interface DoorSettings {
  /** The command line; `%IP%` is the knocker. */
  readonly command: string;
  /** Seconds; also runs `stopCommand` (or `true`) so much later, which makes it a start command. */
  readonly cmdTimeout?: number;
  /** Seconds for the whole sequence; default 5, as in knockd's documented example. */
  readonly window?: number;
  /** Arguments besides. */
  readonly options?: readonly string[];
}

export interface Daemon {
  readonly contestant: Contestant;
  readonly running: Running;
  /** All its processes, the first one first. */
  readonly pids: () => readonly number[];
  /** CPU time of all its processes so far, in microseconds. */
  readonly cpu: () => number;
  readonly memory: () => Memory;
  readonly log: () => string;
  /** Resolves when it has run, or waited to run, for less than a hundredth of a fifth of a second, or after `patience`. */
  readonly idle: (patience?: number) => Promise<boolean>;
  readonly stop: () => Promise<void>;
}

export interface DaemonSetup {
  readonly server: Host;
  /** A folder for configuration, log and state. */
  readonly folder: string;
  /** The path of our knockd. */
  readonly program: string;
}

const START_PATIENCE = 20_000;
const LOOK_EVERY = 100;
let started = 0;

/** Starts one of the two and waits until it listens. */
export async function startDaemon(setup: DaemonSetup, contestant: Contestant, door: DoorSettings): Promise<Daemon> {
  started += 1;
  const file = (ending: string): string => join(setup.folder, `${started}-${contestant}.${ending}`);
  const config = file('conf');
  const logFile = file('log');
  writeFileSync(config, configuration(logFile, door));
  const program = contestant === 'ours' ? setup.program : findProgram('knockd')!;
  const own = contestant === 'ours' ? ['--state', file('state')] : [];
  const argv = [program, '-i', 'eth0', '-c', config, ...own, ...(door.options ?? [])];
  const running = setup.server.spawn(argv);
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  const deadline = performance.now() + START_PATIENCE;
  while (!log().includes('starting up, listening')) {
    if (!running.running) throw new Error(`${argv.join(' ')} ended:\n${running.lines.join('\n')}`);
    if (performance.now() > deadline) throw new Error(`${argv.join(' ')} does not start:\n${running.lines.join('\n')}`);
    await sleep(10);
  }
  const pids = (): readonly number[] => processTree(running.pid);
  const cpu = (): number => cpuMicroseconds(pids());
  const daemon: Daemon = {
    contestant,
    running,
    pids,
    cpu,
    memory: () => memoryOf(pids()),
    log,
    idle: (patience = 10_000) => becomesIdle(() => busyMicroseconds(pids()), patience),
    stop: async () => void (await running.stop()),
  };
  await daemon.idle(2000);
  return daemon;
}

async function becomesIdle(busy: () => number, patience: number): Promise<boolean> {
  const deadline = performance.now() + patience;
  for (let before = busy(), quiet = 0; quiet < 2; ) {
    if (performance.now() > deadline) return false;
    await sleep(LOOK_EVERY);
    const now = busy();
    quiet = now - before < LOOK_EVERY * 10 ? quiet + 1 : 0;
    before = now;
  }
  return true;
}

function configuration(logFile: string, door: DoorSettings): string {
  const command =
    door.cmdTimeout === undefined
      ? [`command = ${door.command}`]
      : [`start_command = ${door.command}`, `cmd_timeout = ${door.cmdTimeout}`, 'stop_command = true'];
  const lines = [
    '[options]',
    `LogFile = ${logFile}`,
    '[door]',
    `sequence = ${STEPS.join(',')}`,
    `seq_timeout = ${door.window ?? 5}`,
    'tcpflags = syn',
    ...command,
  ];
  return `${lines.join('\n')}\n`;
}

/** The ports of the sequence. */
export const STEPS = [7000, 8000, 9000] as const;
