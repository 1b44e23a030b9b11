/**
 * Puts the parts of knockd together and keeps them running: journal, listening, commands, signals.
 *
 * Order of the start, as knockd's: log, capture and filter (errors here are still the terminal's), then the background, the pid
 * file, the signal handlers, and `starting up, listening on` when the watcher is ready for the first knock.
 */

import { constants, openSync, statSync } from 'node:fs';
import type { KnockdConfig } from '../config/knockd-conf.ts';
import { printExpressions } from '../config/knockd-expression.ts';
import { type Address, printAddress } from '../core/address.ts';
import { startCaged } from '../keeper/caged-start.ts';
import { CaptureError } from '../keeper/capture-sockets.ts';
import { type CommandDoors, type GuardLog, openCommandDoors } from '../keeper/command-doors.ts';
import { Journal, reasonOf } from '../keeper/journal.ts';
import { knockdWords } from '../keeper/knockd-words.ts';
import { Listening, type Source, tryCapture } from '../keeper/listening.ts';
import { Names, nameFromGetent } from '../keeper/names.ts';
import { spendInMemory, spendOneTime } from '../keeper/one-time-file.ts';
import { stateFile } from '../keeper/open-stops.ts';
import { type PidFile, PidFileTaken, writePidFile } from '../keeper/pid-file.ts';
import { lookupAccount } from '../platform/accounts.ts';
import { wallNow } from '../platform/clock.ts';
import { keepDescriptorsPrivate } from '../platform/descriptors.ts';
import { type LinkKind, linkKindOf } from '../platform/link-type.ts';
import { notify } from '../platform/notify.ts';
import { feedProgram } from '../platform/process.ts';
import { openSyslog } from '../platform/syslog.ts';
import { after } from '../platform/timer.ts';
import { detach } from './daemon.ts';
import { leaveSoon } from './farewell.ts';
import type { KnockdOptions } from './knockd-options.ts';
import {
  type CommandDoor,
  commandDoors,
  interfaceTextOf,
  logFileOf,
  pidFileOf,
  splitInterfaces,
  stateFolder,
} from './knockd-settings.ts';
import type { LoadedConfig } from './load-knockd-conf.ts';

export interface KnockdStart {
  readonly options: KnockdOptions;
  readonly config: KnockdConfig;
  /** This is the daemon's process: leave the terminal when everything is up. */
  readonly detached: boolean;
  readonly reload: () => LoadedConfig;
  /** Called once, when the first knock may come. */
  readonly ready?: () => void;
}

const SIGNALS = { SIGTERM: 15, SIGINT: 2 } as const;
const LOOKUP_TIMEOUT = 5000;
const LONGEST_FAREWELL = 2000;

/** Runs until a signal, or the end of a capture file; resolves to the exit status. */
export async function runKnockd(start: KnockdStart): Promise<number> {
  const { options, detached } = start;
  keepDescriptorsPrivate();
  let { config } = start;
  const replay = options.read !== undefined;
  const dry = replay && !options.runCommands;
  const interfaceText = interfaceTextOf(options, config);
  const interfaces = splitInterfaces(interfaceText);
  const { promise: over, resolve: finish } = Promise.withResolvers<number>();
  const interrupted = Promise.withResolvers<void>();
  const signals = catchSignals(finish, interrupted.resolve);

  const journal = openJournal();
  journal.show({ verbose: options.verbose || replay, debug: options.debug });
  journal.useSyslog(config.useSyslog);
  journal.openFile(logFileOf(options, config));
  const names = new Names(options.lookup ? lookUp : undefined);

  let listening: Listening<CommandDoor>;
  try {
    const source = openSource(options, interfaces);
    await tryCapture(source);
    listening = new Listening({
      source,
      startCaged,
      doors: commandDoors(config.doors, dry),
      ipv6: options.ipv6,
      packets: options.debug,
      tell: knockdWords(journal, names),
      open: (door, source) => doors.openings.open(door, source),
      spendOneTime: dry ? spendInMemory() : spendOneTime,
      ready: () => {
        if (!replay) started();
      },
      died: (how) => journal.error(`watcher ${how}, starting another`),
      complained: (line) => journal.error(`watcher: ${line}`),
      over: (reason) => {
        if (reason !== undefined) journal.error(replay ? `${options.read}: ${reason}` : reason);
        whenIdle(() => finish(reason === undefined ? 0 : 1));
      },
      relaxed: (given) =>
        journal.event(`the capture filter is too long for this kernel, it lets more through (${given.join(', ')})`),
    });
  } catch (error) {
    if (error instanceof CaptureError) process.stderr.write(`${error.message}\n`);
    else process.stderr.write(`${options.read ?? 'capture'}: ${reasonOf(error)}\n`);
    return 1;
  }
  if (!replay) describeCapture(journal, config, interfaces, listening.addresses);

  const pidFile = detached ? claimPidFile(pidFileOf(options, config), journal) : undefined;
  if (pidFile === 'taken') return 1;

  const guardLog = (): GuardLog => ({
    logFile: logFileOf(options, config),
    syslog: config.useSyslog,
    verbose: options.verbose && !detached,
  });
  const stops = replay ? undefined : stateFile(stateFolder(options), options.config, interfaceText);
  const doors = await openCommandDoors({ journal, names, dry, log: guardLog(), stateFile: stops });
  const needsDisk = config.doors.some((door) => door.stopCommand !== undefined || door.stopCommand6 !== undefined);
  if (needsDisk) for (const warning of doors.warnings) journal.error(warning);
  const whenIdle = (done: () => void): void => {
    if (replay && doors.busy()) after(50, () => whenIdle(done));
    else done();
  };

  const started = (): void => {
    journal.say(`listening on ${interfaceText}...`);
    journal.log(`starting up, listening on ${interfaceText}`);
    start.ready?.();
    notify('READY=1');
    // Before anything is started that outlives this moment: it would hold on to the terminal.
    if (detached) detach();
    const adopted = doors.adopt();
    signals.reload(reload);
    if (adopted > 0) journal.event(`${adopted} stop command${adopted === 1 ? ' is' : 's are'} pending from before`);
  };

  const reload = (): void => {
    journal.event(`re-reading config file: ${options.config}`, true);
    const loaded = start.reload();
    for (const line of loaded.trace) journal.debug(line);
    for (const line of loaded.complaints.flatMap((complaint) => complaint.split('\n'))) journal.error(line);
    if (!loaded.config) return journal.error('the configuration is unchanged');
    journal.debug(`closing log file: ${logFileOf(options, config) ?? ''}`);
    config = loaded.config;
    journal.useSyslog(config.useSyslog);
    journal.openFile(undefined);
    journal.event(`re-opening log file: ${logFileOf(options, config) ?? ''}`, true);
    journal.openFile(logFileOf(options, config));
    doors.setUpGuard(guardLog());
    if (splitInterfaces(interfaceTextOf(options, config)).join() !== interfaces.join()) {
      journal.error('another interface takes a restart');
    }
    listening.configure(commandDoors(config.doors, dry));
    for (const line of printExpressions(config.doors, listening.addresses)) journal.debug(line);
  };
  const words = knockdWords(journal, names);
  process.on('SIGUSR2', () => words({ type: 'counted', counts: listening.counts }));
  listening.start();
  const status = await over;
  signals.reload(() => {});
  listening.stop();
  if (!replay) {
    journal.say('waiting for child processes...');
    await lastStops(doors, journal, interrupted.promise);
    // A stop command that runs right now would be run again by whoever comes next.
    await doors.idle(LONGEST_FAREWELL);
    journal.say('closing...');
    journal.log('shutting down');
  }
  doors.release();
  pidFile?.remove();
  return signals.asked() ? leaveSoon(status) : status;
}

function openJournal(): Journal {
  return new Journal({
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    wallNow,
    openSyslog: () => openSyslog('knockd'),
  });
}

/** A pid file that cannot be written is no reason not to start; one that a living knockd holds is. */
function claimPidFile(path: string, journal: Journal): PidFile | 'taken' | undefined {
  try {
    return writePidFile(path);
  } catch (error) {
    if (error instanceof PidFileTaken) {
      process.stderr.write(`${error.message}\n`);
      return 'taken';
    }
    journal.event(`could not create pid file ${path}: ${reasonOf(error)}`);
    return undefined;
  }
}

/**
 * Stop commands that could not be written down are nobody else's: they are waited for, as knockd waits for its children, until they
 * have run or the signal comes again.
 */
async function lastStops(doors: CommandDoors, journal: Journal, interrupted: Promise<void>): Promise<void> {
  const count = doors.unrecorded();
  if (count === 0) return;
  const stops = count === 1 ? 'a stop command that is' : `${count} stop commands that are`;
  journal.error(`waiting for ${stops} not on disk; a second signal ends the daemon without`);
  let given = false;
  void interrupted.then(() => {
    given = true;
  });
  while (doors.busy() && !given) await new Promise<void>((resolve) => after(50, resolve));
  if (given) journal.error('stop commands were not run: what they close stays open');
}

function openSource(options: KnockdOptions, interfaces: readonly string[]): Source {
  if (options.read !== undefined) {
    const stat = statSync(options.read);
    if (!stat.isFile() && !stat.isFIFO()) throw new Error('Not a capture file');
    // A named pipe without a writer would keep us from hearing signals.
    return { kind: 'file', descriptor: openSync(options.read, constants.O_RDONLY | constants.O_NONBLOCK) };
  }
  if (interfaces.length === 0) throw new CaptureError(',', 'no interface is named');
  return { kind: options.capture, interfaces };
}

/**
 * From here on no signal kills us unawares: the first of SIGTERM and SIGINT ends the daemon with its number, the second hurries it,
 * and a SIGHUP that comes before there is something to reload is kept until there is.
 */
function catchSignals(end: (status: number) => void, hurry: () => void) {
  let asked = false;
  for (const [signal, status] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (asked) hurry();
      asked = true;
      end(status);
    });
  }
  let kept = false;
  let reload = (): void => {
    kept = true;
  };
  process.on('SIGHUP', () => reload());
  return {
    /** Somebody wants us to end. */
    asked: () => asked,
    /** What SIGHUP does from now on. */
    reload: (act: () => void) => {
      reload = act;
      if (kept) act();
      kept = false;
    },
  };
}

/** The name of an address by a program of its own, under another user id if we may: its answers are strangers' bytes. */
async function lookUp(address: string): Promise<string | undefined> {
  const account = process.getuid?.() === 0 ? lookupAccount() : {};
  const found = await feedProgram(['getent', 'hosts', address], '', {
    timeout: LOOKUP_TIMEOUT,
    limit: 4096,
    ...account,
  });
  return nameFromGetent(found.output);
}

const LINK_LINES: Readonly<Record<LinkKind, string>> = {
  ethernet: 'ethernet interface detected',
  cooked: 'ppp interface detected (linux "cooked" encapsulation)',
  raw: 'raw interface detected, no encapsulation',
};

/** knockd's `-D` lines about interface, addresses and filter. */
function describeCapture(
  journal: Journal,
  config: KnockdConfig,
  interfaces: readonly string[],
  addresses: readonly Address[],
): void {
  for (const name of interfaces) journal.debug(LINK_LINES[linkKindOf(name)]);
  for (const address of addresses) journal.debug(`local IP: ${printAddress(address)}`);
  for (const line of printExpressions(config.doors, addresses)) journal.debug(line);
}
