/**
 * Puts the parts of knockd together and keeps them running: journal, sockets, watcher, keeper, stop commands, signals.
 *
 * Order of the start, as knockd's: log, capture and filter (errors here are still the terminal's), then the background, the pid
 * file, the signal handlers, and `starting up, listening on` when the watcher is ready for the first knock.
 */

import { openSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { KnockdConfig } from '../config/knockd-conf.ts';
import { printExpressions } from '../config/knockd-expression.ts';
import type { KnockdDoor } from '../config/knockd-lower.ts';
import { type Address, printAddress } from '../core/address.ts';
import { CaptureError, CaptureSockets } from '../keeper/capture-sockets.ts';
import { Commands } from '../keeper/commands.ts';
import { Guard } from '../keeper/guard.ts';
import { Journal, reasonOf } from '../keeper/journal.ts';
import { type GuardedDoor, Keeper } from '../keeper/keeper.ts';
import { Names, nameFromGetent } from '../keeper/names.ts';
import { spendOneTime } from '../keeper/one-time-file.ts';
import { type KeptStops, openStops, stateFile } from '../keeper/open-stops.ts';
import { Openings } from '../keeper/openings.ts';
import { PendingStops } from '../keeper/pending-stops.ts';
import { type PidFile, PidFileTaken, writePidFile } from '../keeper/pid-file.ts';
import { WatcherProcess } from '../keeper/watcher-process.ts';
import { unprivilegedAccount } from '../platform/accounts.ts';
import { monotonicNow, wallNow } from '../platform/clock.ts';
import { entry } from '../platform/entry.ts';
import { keepDescriptorsPrivate } from '../platform/descriptors.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { interfaceIndex } from '../platform/libc.ts';
import { type LinkKind, linkKindOf } from '../platform/link-type.ts';
import { listeningPorts } from '../platform/listeners.ts';
import { notify } from '../platform/notify.ts';
import {
  type ConnectedProgram,
  type Ending,
  readProgram,
  runShell,
  startCapture,
  startConnected,
} from '../platform/process.ts';
import { watchRoutes } from '../platform/route-monitor.ts';
import { openSyslog } from '../platform/syslog.ts';
import { after } from '../platform/timer.ts';
import { openMemoryStops } from '../store/memory-stops.ts';
import { detach } from './daemon.ts';
import type { KnockdOptions } from './knockd-options.ts';
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
const PUBLIC_PORTS_EVERY = 2000;
const DEFAULT_INTERFACE = 'eth0';
const DEFAULT_PID_FILE = '/var/run/knockd.pid';
const LOOKUP_TIMEOUT = 5000;
const LONGEST_FAREWELL = 2000;
/** Watchers that may die before the first one is ready: after that, nobody listens and the start has failed. */
const MOST_STILLBORN = 3;

/** Runs until a signal, or the end of a capture file; resolves to the exit status. */
export async function runKnockd(start: KnockdStart): Promise<number> {
  const { options, detached } = start;
  keepDescriptorsPrivate();
  let { config } = start;
  const replay = options.read !== undefined;
  const interfaceText = config.interface ?? options.interface ?? DEFAULT_INTERFACE;
  const interfaces = splitInterfaces(interfaceText);
  const account = unprivilegedAccount();

  const journal = new Journal({
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    wallNow,
    openSyslog: () => openSyslog('knockd'),
  });
  journal.show({ verbose: options.verbose || replay, debug: options.debug });
  journal.useSyslog(config.useSyslog);
  journal.openFile(logFileOf(options, config));

  let sockets: CaptureSockets | undefined;
  let file: number | undefined;
  try {
    if (options.read !== undefined) file = openSync(options.read, 'r');
    else if (options.capture === 'ring') {
      const doors = config.doors.map((door) => door.knock);
      const input = { doors, publicPorts: listeningPorts(), ipv6: options.ipv6 };
      sockets = new CaptureSockets(interfaces, input, (relaxed) =>
        journal.event(`the capture filter is too long for this kernel, it lets more through (${relaxed.join(', ')})`),
      );
    }
  } catch (error) {
    if (error instanceof CaptureError) process.stderr.write(`${error.message}\n`);
    else process.stderr.write(`${options.read ?? 'capture'}: ${reasonOf(error)}\n`);
    return 1;
  }
  const local = (): readonly Address[] => interfaces.flatMap((name) => addressesOf(name, options.ipv6));
  if (!replay) describeCapture(journal, config, interfaces, local());

  let pidFile: PidFile | undefined;
  if (detached) {
    try {
      pidFile = writePidFile(config.pidFile ?? options.pidFile ?? DEFAULT_PID_FILE);
    } catch (error) {
      if (error instanceof PidFileTaken) {
        process.stderr.write(`${error.message}\n`);
        return 1;
      }
      const path = config.pidFile ?? options.pidFile ?? DEFAULT_PID_FILE;
      journal.event(`could not create pid file ${path}: ${reasonOf(error)}`);
    }
  }

  const kept = replay
    ? forReplay()
    : await openStops(stateFile(stateFolder(options), options.config, interfaceText), pause);
  const needsDisk = config.doors.some((door) => door.stopCommand !== undefined || door.stopCommand6 !== undefined);
  if (needsDisk) for (const warning of kept.warnings) journal.error(warning);

  const dry = replay && !options.runCommands;
  const commands = new Commands({ run: dry ? runNothing : runShell, after });
  const guard = kept.file === undefined ? undefined : new Guard(guardSetup(kept.file));
  function guardSetup(stateFileName: string): ConstructorParameters<typeof Guard>[0] {
    const logFile = logFileOf(options, config);
    return { stateFile: stateFileName, logFile, syslog: config.useSyslog, verbose: options.verbose && !detached };
  }
  let storeFailed = false;
  const stops: PendingStops = new PendingStops(kept.store, {
    wallNow,
    after,
    run: (stop, ended) => openings.stop(stop, ended),
    storeFailed: (error) => {
      if (!storeFailed) journal.error(`warning: cannot record stop commands: ${(error as Error).message}`);
      storeFailed = true;
    },
    scheduled: () => guard?.ensure(),
  });
  const lookup = async (address: string): Promise<string | undefined> => {
    const found = await readProgram(['getent', 'hosts', address], {
      timeout: LOOKUP_TIMEOUT,
      limit: 4096,
      ...dropTo(account),
    });
    return nameFromGetent(found.output);
  };
  const names = new Names(options.lookup ? lookup : undefined);
  const openings = new Openings({ commands, stops, journal, names, dry });

  const { promise: over, resolve: finish } = Promise.withResolvers<number>();
  const keeper = new Keeper(
    {
      journal,
      names,
      openings,
      sockets,
      addresses: () => (replay ? 'any' : local()),
      listeningPorts,
      spendOneTime: dry ? () => undefined : spendOneTime,
      monotonicNow,
      ended: (reason) => {
        if (reason !== undefined) journal.error(`${options.read ?? options.capture}: ${reason}`);
        if (replay) whenIdle(() => finish(reason === undefined ? 0 : 1));
        else watcher.replace();
      },
      ready: () => {
        if (!replay) started();
      },
    },
    { ipv6: options.ipv6, packets: options.debug },
  );
  const whenIdle = (done: () => void): void => {
    if (commands.running === 0 && stops.size === 0) done();
    else setTimeout(() => whenIdle(done), 50);
  };

  const watcher: WatcherProcess = new WatcherProcess({
    start: () => startWatcher({ sockets, file, interfaces, account, silent: detached }),
    report: (report) => keeper.hear(report),
    started: () => keeper.instruct(),
    died: (how) => {
      journal.error(`watcher ${how}, starting another`);
      if (announced || ++stillborn < MOST_STILLBORN) return;
      journal.error('the watcher does not start; see the lines above');
      finish(1);
    },
    monotonicNow,
    after,
  });
  let announced = false;
  let stillborn = 0;
  keeper.employ(watcher);
  keeper.configure(guarded(config.doors, dry));
  watcher.start();

  const started = (): void => {
    if (announced) return;
    announced = true;
    journal.say(`listening on ${interfaceText}...`);
    journal.log(`starting up, listening on ${interfaceText}`);
    start.ready?.();
    notify('READY=1');
    // Before anything is started that outlives this moment: it would hold on to the terminal.
    if (detached) detach();
    const adopted = stops.adopt();
    if (adopted > 0) journal.event(`${adopted} stop commands are pending from before`);
  };

  const routes = sockets && watchRoutes(() => keeper.networkChanged());
  const ports = setInterval(() => keeper.refreshPublicPorts(), PUBLIC_PORTS_EVERY);

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
    if (kept.file !== undefined) guard?.setUp(guardSetup(kept.file));
    if (splitInterfaces(config.interface ?? options.interface ?? DEFAULT_INTERFACE).join() !== interfaces.join()) {
      journal.error('another interface takes a restart');
    }
    keeper.configure(guarded(config.doors, dry));
    for (const line of printExpressions(config.doors, local())) journal.debug(line);
  };
  process.on('SIGHUP', reload);
  process.on('SIGUSR2', () => keeper.logCounts());
  for (const [signal, status] of Object.entries(SIGNALS)) process.on(signal, () => finish(status));

  const status = await over;
  process.off('SIGHUP', reload);
  clearInterval(ports);
  routes?.close();
  watcher.stop();
  if (!replay) {
    journal.say('waiting for child processes...');
    // A stop command that runs right now would be run again by whoever comes next.
    for (let waited = 0; commands.running > 0 && waited < LONGEST_FAREWELL; waited += 20) await pause(20);
    journal.say('closing...');
    journal.log('shutting down');
  }
  if (stops.size === 0) guard?.dismiss();
  stops.release();
  sockets?.close();
  pidFile?.remove();
  return status;
}

/** `eth0,wg0` is two interfaces, unless one has that very name. */
function splitInterfaces(text: string): readonly string[] {
  if (!text.includes(',') || interfaceIndex(text) !== 0) return [text];
  return [
    ...new Set(
      text
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
    ),
  ];
}

function logFileOf(options: KnockdOptions, config: KnockdConfig): string | undefined {
  const path = config.logFile ?? options.logFile;
  return path === '' ? undefined : path;
}

function stateFolder(options: KnockdOptions): string {
  if (options.state !== undefined) return options.state;
  if (process.getuid?.() === 0) return '/var/lib/postern';
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'postern');
}

function forReplay(): KeptStops {
  return { store: openMemoryStops(), file: undefined, warnings: [] };
}

function runNothing(): { pid: undefined; ended: Promise<Ending>; kill: () => void } {
  return { pid: undefined, ended: Promise.resolve({ status: 0 }), kill: () => {} };
}

function pause(delay: number): Promise<void> {
  return new Promise((resolve) => after(delay, resolve));
}

/** Only root can run a program as somebody else; others run it as themselves. */
function dropTo(account: { readonly uid: number; readonly gid: number }): { uid?: number; gid?: number } {
  return process.getuid?.() === 0 ? account : {};
}

/** What the keeper owns: doors under keys that survive a restart. A replay that runs nothing leaves nothing to stop. */
function guarded(doors: readonly KnockdDoor[], dry: boolean): readonly GuardedDoor[] {
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

interface WatcherSetup {
  readonly sockets: CaptureSockets | undefined;
  readonly file: number | undefined;
  readonly interfaces: readonly string[];
  readonly account: { readonly uid: number; readonly gid: number };
  /** A daemon's watcher does not hold on to the terminal. */
  readonly silent: boolean;
}

/** The watcher with its descriptors: packet sockets, a capture file, or pipes from capture programs that live as long as it does. */
function startWatcher({ sockets, file, interfaces, account, silent }: WatcherSetup): ConnectedProgram {
  const pipes = sockets || file !== undefined ? [] : interfaces.map((name) => startCapture(tcpdump(name)).output);
  const descriptors = sockets?.descriptors ?? (file === undefined ? pipes : [file]);
  const { script } = entry('watcher/confine');
  const numbers = descriptors.map((_, index) => String(FIRST_DESCRIPTOR + index));
  const identity = `${account.uid}:${account.gid}`;
  const program = startConnected(
    [
      process.execPath,
      '--disable-sigusr1',
      script,
      String(process.pid),
      identity,
      sockets ? 'ring' : 'pcap',
      ...numbers,
    ],
    { descriptors, argv0: 'postern-watcher', silent },
  );
  for (const pipe of pipes) pipe.destroy();
  return program;
}

/** Descriptors 0 to 2 are the usual, 3 is the channel. */
const FIRST_DESCRIPTOR = 4;

function tcpdump(name: string): [string, ...string[]] {
  return ['tcpdump', '-i', name, '-n', '-p', '-U', '-s', '256', '-w', '-', 'tcp or udp'];
}
