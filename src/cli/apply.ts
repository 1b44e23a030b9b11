/**
 * `postern apply`: puts the configuration in force on trial. A rollback is armed before anything changes, by somebody who outlives this
 * session and the daemon; `postern confirm`, from a session that came in through a door, makes the change stay.
 */

import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import type { PosternConfig } from '../config/postern-config.ts';
import { parseDuration } from '../config/quantity.ts';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import { isLoopback, printAddress } from '../core/address.ts';
import { preflight } from '../firewall/preflight.ts';
import { reasonOf } from '../keeper/journal.ts';
import { bootId } from '../platform/boot.ts';
import { createFolder } from '../platform/folder.ts';
import { isSystemdHere, startDetached, startUnit } from '../platform/process.ts';
import { tcpSessions } from '../platform/tcp-sessions.ts';
import {
  lastRejected,
  type PendingChange,
  readApplied,
  readPending,
  readStanding,
  withdrawPending,
  writePending,
} from '../store/pending-change.ts';
import { readDurationText } from './arguments.ts';
import { complain, controlCommand } from './ask.ts';
import { DEFAULT_CONFIG, runningSocket } from './daemon-socket.ts';
import { startDaemonUnit, unitOf } from './daemon-unit.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { callersSession } from './ssh-session.ts';
import { rejectedFile, takeBack } from './take-back.ts';
import { paintFor, type Terminal } from './terminal.ts';
import { diffLines } from './text-diff.ts';
import { judgeInterfaces } from './ways-in.ts';
import { harmless } from './wording.ts';

const USUAL_TIME = '60s';
/** From the start of a daemon to the day it answers, on a slow machine. */
const START_PATIENCE = 30_000;
const LOOK_EVERY = 200;
/** What the rollback takes at most, after the time is over. */
const ROLLBACK_TAKES = 20_000;
const MOST_SESSIONS = 10_000;

interface Wanted {
  readonly command: Command;
  readonly terminal: Terminal;
  /** Ask nothing. */
  readonly yes: boolean;
  readonly within?: string;
}

export function addApply(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'apply')
    .description('put the configuration in force on trial: without `postern confirm` in time, the old one is back')
    .option('-y, --yes', 'do not ask')
    .addOption(confirmWithinOption())
    .action(async (options: { yes?: true; confirmWithin: string }, command: Command) => {
      end(await applyAndWait({ command, terminal, yes: options.yes === true, within: options.confirmWithin }));
    });
}

/** `--confirm-within`. */
export function confirmWithinOption(): Option {
  return new Option('--confirm-within <duration>', 'how long the trial lasts')
    .argParser(readDurationText)
    .default(USUAL_TIME);
}

/** The exit status: 0 when the change was confirmed, or there was none. */
export async function applyAndWait({ command, terminal, yes, within = USUAL_TIME }: Wanted): Promise<number> {
  const { stdout, stderr, environment } = terminal;
  const refuse = (message: string, hint?: string): number => {
    complain(terminal, new ControlError('refused', message, hint));
    return 1;
  };
  if (process.geteuid?.() !== 0) return refuse('Only root can put a configuration in force', 'Run it with sudo');
  const { config: shown = DEFAULT_CONFIG } = command.optsWithGlobals<{ config?: string }>();
  const file = absolute(shown);
  const loaded = loadPosternToml(file, { shownAs: shown, strict: false });
  for (const line of loaded.complaints) stderr.write(`${line}\n`);
  if (!loaded.config || loaded.text === undefined) return 1;
  const { config, text } = loaded;
  const running = await isRunning(config);
  const elsewhere = running ? undefined : runningSocket();
  if (elsewhere !== undefined) {
    return refuse(
      `The daemon that guards this host listens at ${elsewhere}, not where ${shown} says: that changes with its next start`,
      'Put the old [state] dir and [control] socket back, or stop the daemon, then apply',
    );
  }
  // A daemon that died has left its guard: that is in force, too.
  const previous = running ? readApplied(config.state.dir) : readStanding(config.state.dir);
  if (running && previous === undefined) {
    return refuse('It is not known what the daemon has in force', 'Start posternd anew, then apply');
  }
  if (readPending(config.state.dir)) {
    return refuse('Another change waits for its confirmation', 'Run postern confirm, or wait until it is taken back');
  }
  if (running && previous === text) {
    stdout.write('There is nothing to apply: this configuration is in force\n');
    return 0;
  }
  for (const line of await describeChange(config, text, { previous, running }, terminal)) stdout.write(`${line}\n`);
  if (!yes) {
    if (!terminal.question) return refuse('There is nobody to ask', 'Add --yes');
    const answer = await terminal.question('Put it in force? [y/N] ');
    if (!/^y(es)?$/i.test(answer.trim())) {
      stderr.write(`postern: Nothing was put in force. When it is to be: postern --config ${shown} apply\n`);
      return 1;
    }
  }
  const trial = milliseconds(within);
  const change: PendingChange = {
    token: randomBytes(4).toString('hex'),
    file,
    tried: text,
    previous: previous ?? null,
    since: terminal.wallNow(),
    until: terminal.wallNow() + trial,
    ...bootNow(),
    sessions: tcpSessions(() => true, MOST_SESSIONS).map((each) => `${printAddress(each.source)} ${each.sourcePort}`),
  };
  try {
    createFolder(config.state.dir);
    writePending(config.state.dir, change);
  } catch (error) {
    return refuse(`Cannot write to ${config.state.dir}: ${reasonOf(error)}: without that, nothing could be taken back`);
  }
  // From here on something must be said to who ends the command.
  let interrupted = false;
  terminal.onInterrupt(() => {
    interrupted = true;
  });
  armRollback(config, change, trial);
  try {
    for (const doubt of await putInForce(config, file, running)) {
      // The file's own were told above.
      if (!loaded.complaints.includes(doubt)) stderr.write(`warning: ${harmless(doubt)}\n`);
    }
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    complain(terminal, error);
    await undo(change, config.state.dir, { refused: running && error.problem === 'refused', running, terminal });
    return 1;
  }
  const guest = await letPeerIn(config, terminal, trial);
  stdout.write(`In force for ${within}. Knock, open a new session, and there: postern --config ${shown} confirm\n`);
  if (guest !== undefined) stdout.write(`From ${guest}, where you are, it goes without a knock for twice that time\n`);
  const paint = paintFor(stdout, environment);
  const kept = await waitForConfirmation(config.state.dir, change, () => interrupted);
  if (kept === undefined) {
    stderr.write('postern: The trial goes on without this command: confirm it, or it is taken back\n');
    return 1;
  }
  if (kept) stdout.write(`${paint('green', 'confirmed')}: the new configuration stays\n`);
  else
    stdout.write(
      `${paint('yellow', 'not confirmed')}: what was in force before is back, what was tried is ${rejectedFile(shown)}\n`,
    );
  return kept ? 0 : 1;
}

async function isRunning({ control }: PosternConfig): Promise<boolean> {
  try {
    using client = await connectControl(control.socket);
    await client.status();
    return true;
  } catch (error) {
    if (error instanceof ControlError && error.problem === 'no-daemon') return false;
    throw error;
  }
}

async function describeChange(
  config: PosternConfig,
  text: string,
  { previous, running }: { readonly previous: string | undefined; readonly running: boolean },
  terminal: Terminal,
): Promise<readonly string[]> {
  const { stdout, environment } = terminal;
  const paint = paintFor(stdout, environment);
  const lines = diffLines(previous ?? '', text).map((line) =>
    line.startsWith('+') ? paint('green', line) : line.startsWith('-') ? paint('red', line) : line,
  );
  const found = await preflight(config.doors, config.firewall.face, config.firewall.driver);
  return [
    ...lines,
    ...[...judgeInterfaces(config, terminal)]
      .filter(({ status }) => status !== 'ok')
      .flatMap(({ message, hint = '' }) => [`warning: ${message}`, `hint: ${hint}`]),
    ...found
      .filter(({ severity }) => severity !== 'note')
      .flatMap(({ message, hint }) => [`warning: ${message}`, `hint: ${hint}`]),
    ...(running ? [] : ['No daemon runs: posternd will be started']),
  ];
}

/** A timer of systemd where there is one, else a process in a session of its own. */
function armRollback(config: PosternConfig, change: PendingChange, trial: number): void {
  const words = ['rollback', '--state', config.state.dir, '--token', change.token];
  const postern = [process.execPath, ...process.execArgv, process.argv[1] ?? ''] as const;
  if (isSystemdHere()) startUnit(`postern-rollback-${change.token}`, trial, [...postern, ...words]);
  // In any case: a timer that could not be set must not be the end of it. Whoever comes second finds nothing to do.
  startDetached([...postern, ...words, '--after', `${trial}ms`]);
}

/** Resolves to the daemon's doubts. */
async function putInForce(config: PosternConfig, file: string, running: boolean): Promise<readonly string[]> {
  if (running) {
    using client = await connectControl(config.control.socket);
    return (await client.reload()).warnings;
  }
  if (await unitOf(file)) {
    if (await startDaemonUnit()) return [];
    throw new ControlError('no-daemon', 'posternd.service did not start', 'To see why: journalctl -u posternd -n 20');
  }
  const posternd = join(dirname(process.argv[1] ?? ''), 'posternd');
  const daemon = startDetached([process.execPath, ...process.execArgv, posternd, '--config', file]);
  let ended = false;
  void daemon.ended.then(() => {
    ended = true;
  });
  for (let waited = 0; waited < START_PATIENCE && !ended; waited += LOOK_EVERY) {
    if (await isRunning(config)) return [];
    await pause(LOOK_EVERY);
  }
  throw new ControlError(
    'no-daemon',
    'posternd did not start',
    `Run it by hand to see why: posternd -v --config ${file}`,
  );
}

/** After a change that could not be put in force. Where that is not certain, the rollback stays armed: it harms nobody. */
async function undo(
  change: PendingChange,
  folder: string,
  how: { readonly refused: boolean; readonly running: boolean; readonly terminal: Terminal },
): Promise<void> {
  const { stdout, stderr } = how.terminal;
  // Nothing has changed.
  if (how.refused) return withdrawPending(folder);
  try {
    if (how.running) throw new Error('the daemon does not answer');
    // A daemon that ended may have closed the doors before it did.
    await takeBack(change, folder);
    stdout.write(`What was in force before is back, what was tried is ${rejectedFile(change.file)}\n`);
  } catch (error) {
    stderr.write(
      `postern: Cannot take it back now: ${(error as Error).message}: it is tried again when the time is over\n`,
    );
  }
}

/**
 * Who applies is not to be cut off by it: resolves to his address. Where that cannot be had, the trial goes on: its end lets everybody in
 * again.
 */
async function letPeerIn(
  config: PosternConfig,
  { environment, stderr }: Terminal,
  trial: number,
): Promise<string | undefined> {
  const session = callersSession(environment);
  if (!session || isLoopback(session.source)) return undefined;
  const source = printAddress(session.source);
  try {
    using client: ControlClient = await connectControl(config.control.socket);
    await client.allow(source, `${2 * trial}ms`);
    return source;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    stderr.write(
      `warning: The address of this session is not let in meanwhile: ${harmless(error.message.split('\n')[0] ?? '')}\n`,
    );
    return undefined;
  }
}

/** Undefined when somebody ended the waiting. */
async function waitForConfirmation(
  folder: string,
  change: PendingChange,
  interrupted: () => boolean,
): Promise<boolean | undefined> {
  const patience = change.until - change.since + ROLLBACK_TAKES;
  for (let waited = 0; waited < patience && !interrupted(); waited += LOOK_EVERY) {
    if (readPending(folder)?.token !== change.token) return lastRejected(folder) !== change.token;
    await pause(LOOK_EVERY);
  }
  return undefined;
}

function bootNow(): Pick<PendingChange, 'boot'> {
  const boot = bootId();
  return boot === undefined ? {} : { boot };
}

function milliseconds(duration: string): number {
  const reading = parseDuration(duration);
  return 'value' in reading ? reading.value : 60_000;
}
