/**
 * `postern apply`: puts the configuration in force on trial. A rollback is armed before anything changes, by somebody who outlives this
 * session and the daemon; `postern confirm`, from a session that came in through a door, makes the change stay.
 */

import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { PosternConfig } from '../config/postern-config.ts';
import { parseDuration } from '../config/quantity.ts';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import { isLoopback, printAddress } from '../core/address.ts';
import { preflight } from '../firewall/preflight.ts';
import { reasonOf } from '../keeper/journal.ts';
import { bootId } from '../platform/boot.ts';
import { uptimeNow } from '../platform/clock.ts';
import { createFolder } from '../platform/folder.ts';
import { startDetached } from '../platform/process.ts';
import { tcpSessions } from '../platform/tcp-sessions.ts';
import {
  addSessions,
  beginPending,
  outcomeOf,
  type PendingChange,
  readApplied,
  readPending,
  readStanding,
  withdrawPending,
} from '../store/pending-change.ts';
import { readDurationText } from './arguments.ts';
import { armRollback } from './arm-rollback.ts';
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
/** Less is over before anybody can have knocked; more is no trial. */
const SHORTEST = 3000;
const LONGEST = 24 * 3_600_000;
/** From the start of a daemon to the day it answers, on a slow machine. */
const START_PATIENCE = 30_000;
const LOOK_EVERY = 200;
/** What the rollback takes at most, after the time is over; and after what time this command lends a hand, and again. */
const ROLLBACK_TAKES = 20_000;
const GRACE = 3000;
const AGAIN = 5000;
const MOST_SESSIONS = 10_000;

interface Wanted {
  readonly command: Command;
  readonly terminal: Terminal;
  /** Ask nothing. */
  readonly yes: boolean;
  readonly within?: string;
  /** The client's command, for who has it from here alone. */
  readonly knock?: string;
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
  return new Option('--confirm-within <duration>', 'how long the trial lasts, from 3s to 24h')
    .argParser((text: string) => {
      const time = milliseconds(readDurationText(text));
      if (time < SHORTEST || time > LONGEST) throw new InvalidArgumentError('A trial lasts from "3s" to "24h".');
      return text;
    })
    .default(USUAL_TIME);
}

/** The exit status: 0 when the change was confirmed, or there was none. */
export async function applyAndWait({ command, terminal, yes, within = USUAL_TIME, knock }: Wanted): Promise<number> {
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
  const other = readPending(config.state.dir);
  if (other) return refuse(...onTrialAlready(other));
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
    began: uptimeNow(),
    by: caller(environment),
    ...bootNow(),
    sessions: sessionsNow(),
  };
  try {
    createFolder(config.state.dir);
    const first = beginPending(config.state.dir, change);
    if (first) return refuse(...onTrialAlready(first === 'busy' ? undefined : first));
  } catch (error) {
    return refuse(`Cannot write to ${config.state.dir}: ${reasonOf(error)}: without that, nothing could be taken back`);
  }
  // Another trial may have begun and ended while this one was shown and asked about.
  if ((running ? readApplied(config.state.dir) : readStanding(config.state.dir)) !== previous) {
    withdrawPending(config.state.dir, change.token);
    return refuse('What is in force has changed meanwhile', 'Look at the difference again: postern apply');
  }
  // From here on something must be said to who ends the command.
  let interrupted = false;
  terminal.onInterrupt(() => {
    interrupted = true;
  });
  armRollback(config.state.dir, change.token, trial);
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
  addSessions(config.state.dir, change.token, sessionsNow());
  const guest = await letPeerIn(config, terminal, trial);
  const confirm = `open a new session, and there: postern --config ${shown} confirm`;
  const how = knock === undefined ? `Knock, ${confirm}` : `From another machine:\n\n  ${knock}\n\nthen ${confirm}`;
  stdout.write(`In force for ${within}. ${how}\n`);
  if (guest !== undefined)
    stdout.write(
      `${guest}, where you are, passes without a knock for twice that time: to log in from there does not try the knock, confirm does\n`,
    );
  const paint = paintFor(stdout, environment);
  const outcome = await waitForOutcome(config.state.dir, change, { terminal, interrupted: () => interrupted });
  if (outcome === 'open') {
    stderr.write('postern: The trial goes on without this command: confirm it, or it is taken back\n');
  } else if (outcome === undefined) {
    stderr.write('postern: How the trial ended is not known: see postern log -t applied,confirmed,reverted\n');
  } else if (outcome === 'confirmed') {
    stdout.write(`${paint('green', 'confirmed')}: the new configuration stays\n`);
  } else {
    const now =
      change.previous === null ? 'no port is hidden any more, posternd has ended' : 'what was in force before is back';
    stdout.write(`${paint('yellow', 'not confirmed')}: ${now}, what was tried is ${rejectedFile(shown)}\n`);
  }
  return outcome === 'confirmed' ? 0 : 1;
}

/** What to say to who comes second, and what he can do. */
function onTrialAlready(other: PendingChange | undefined): [message: string, hint: string] {
  if (!other) return ['Another change is being taken back', 'Look at what is in force in a minute: postern status'];
  const when = new Date(other.since).toISOString().replace('T', ' ').slice(0, 19);
  const who = other.by === undefined ? '' : ` by ${harmless(other.by)}`;
  return [
    `Another change waits for its confirmation: ${harmless(other.file)}, applied${who} at ${when} UTC`,
    'Run postern confirm, or wait until it is taken back',
  ];
}

/** For people: who is root here, and from where. */
function caller(environment: Terminal['environment']): string {
  const session = callersSession(environment);
  const from = session ? ` from ${printAddress(session.source)}` : '';
  return `${environment.SUDO_USER ?? 'root'}${from} (process ${process.pid})`;
}

function sessionsNow(): string[] {
  return tcpSessions(() => true, MOST_SESSIONS).map((each) => `${printAddress(each.source)} ${each.sourcePort}`);
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
  if (how.refused) return withdrawPending(folder, change.token);
  try {
    if (how.running) throw new Error('the daemon does not answer');
    // A daemon that ended may have closed the doors before it did.
    await takeBack(change.token, folder);
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

/**
 * How the trial ended; `open` when somebody ended the waiting, undefined when it cannot be told. Should the time be over and nobody take the
 * change back, it is done here.
 */
async function waitForOutcome(
  folder: string,
  change: PendingChange,
  { terminal, interrupted }: { readonly terminal: Terminal; readonly interrupted: () => boolean },
): Promise<'confirmed' | 'reverted' | 'open' | undefined> {
  const began = change.began ?? uptimeNow();
  const trial = change.until - change.since;
  for (let next = trial + GRACE; !interrupted(); ) {
    if (readPending(folder)?.token !== change.token) return outcomeOf(folder, change.token);
    const waited = uptimeNow() - began;
    if (waited > trial + ROLLBACK_TAKES) break;
    if (waited > next) {
      next = waited + AGAIN;
      try {
        await takeBack(change.token, folder);
      } catch (error) {
        terminal.stderr.write(`postern: Cannot take the change back: ${reasonOf(error)}\n`);
      }
    } else await pause(LOOK_EVERY);
  }
  return 'open';
}

function bootNow(): Pick<PendingChange, 'boot'> {
  const boot = bootId();
  return boot === undefined ? {} : { boot };
}

function milliseconds(duration: string): number {
  const reading = parseDuration(duration);
  return 'value' in reading ? reading.value : 60_000;
}
