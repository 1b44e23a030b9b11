/**
 * A trial from its beginning to its end, as who applies goes through it: what is written down before anything changes, the daemon that is told
 * or started, the address that is let in meanwhile, and the waiting.
 */

import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import { isLoopback, printAddress } from '../core/address.ts';
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
  readPending,
  withdrawPending,
} from '../store/pending-change.ts';
import { complain, refused } from './ask.ts';
import { startDaemonUnit, unitOf } from './daemon-unit.ts';
import { isRunning, type Proposal, textInForce } from './proposal.ts';
import { callersSession } from './ssh-session.ts';
import { rejectedFile, takeBack } from './take-back.ts';
import type { Terminal } from './terminal.ts';
import { harmless } from './wording.ts';

/** From the start of a daemon to the day it answers, on a slow machine. */
const START_PATIENCE = 30_000;
const LOOK_EVERY = 200;
/** What the rollback takes at most, after the time is over; and after what time who waits lends a hand, and again. */
const ROLLBACK_TAKES = 20_000;
const GRACE = 3000;
const AGAIN = 5000;
const MOST_SESSIONS = 10_000;

/** How a trial ended; `open` when somebody ended the waiting, undefined when it cannot be told. */
export type Outcome = 'confirmed' | 'reverted' | 'open' | undefined;

/** Throws a `ControlError` when there is one already. */
export function refuseSecond({ config }: Proposal): void {
  const other = readPending(config.state.dir);
  if (other) throw onTrialAlready(other);
}

/** Writes down what is tried, for `time` milliseconds, and what was before. Nothing has changed when it throws its `ControlError`. */
export function beginTrial(proposal: Proposal, time: number, { environment, wallNow }: Terminal): PendingChange {
  const { file, text, previous } = proposal;
  const { dir } = proposal.config.state;
  const since = wallNow();
  const boot = bootId();
  const change: PendingChange = {
    token: randomBytes(4).toString('hex'),
    file,
    tried: text,
    previous: previous ?? null,
    since,
    until: since + time,
    began: uptimeNow(),
    by: caller(environment),
    ...(boot !== undefined && { boot }),
    sessions: sessionsNow(),
  };
  let first: PendingChange | 'busy' | undefined;
  try {
    createFolder(dir);
    first = beginPending(dir, change);
  } catch (error) {
    throw refused(`Cannot write to ${dir}: ${reasonOf(error)}: without that, nothing could be taken back`);
  }
  if (first) throw onTrialAlready(first === 'busy' ? undefined : first);
  // Another trial may have begun and ended while this one was shown and asked about.
  if (textInForce(proposal) !== previous) {
    withdrawPending(dir, change.token);
    throw refused('What is in force has changed meanwhile', 'Look at the difference again: postern apply');
  }
  return change;
}

/**
 * Puts it in force: resolves to the daemon's doubts; undefined when that failed, which is told, and taken back as far as it can be done now.
 */
export async function putInForce(
  proposal: Proposal,
  change: PendingChange,
  terminal: Terminal,
): Promise<readonly string[] | undefined> {
  try {
    const doubts = await instructDaemon(proposal);
    addSessions(proposal.config.state.dir, change.token, sessionsNow());
    return doubts;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    complain(terminal, error);
    await undo(proposal, change, error.problem === 'refused', terminal);
    return undefined;
  }
}

/** What to say to who comes second, and what he can do. */
function onTrialAlready(other: PendingChange | undefined): ControlError {
  if (!other)
    return refused('Another change is being taken back', 'Look at what is in force in a minute: postern status');
  const when = new Date(other.since).toISOString().replace('T', ' ').slice(0, 19);
  const who = other.by === undefined ? '' : ` by ${harmless(other.by)}`;
  return refused(
    `Another change waits for its confirmation: ${harmless(other.file)}, applied${who} at ${when} UTC`,
    'Run postern confirm, or wait until it is taken back',
  );
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

/** Has it reload, or starts it. */
async function instructDaemon({ config, file, running }: Proposal): Promise<readonly string[]> {
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
  { config, running }: Proposal,
  change: PendingChange,
  isRefused: boolean,
  { stdout, stderr }: Terminal,
): Promise<void> {
  // Nothing has changed.
  if (running && isRefused) return withdrawPending(config.state.dir, change.token);
  try {
    if (running) throw new Error('the daemon does not answer');
    // A daemon that ended may have closed the doors before it did.
    await takeBack(change.token, config.state.dir);
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
export async function letPeerIn(
  { config }: Proposal,
  time: number,
  { environment, stderr }: Terminal,
): Promise<string | undefined> {
  const session = callersSession(environment);
  if (!session || isLoopback(session.source)) return undefined;
  const source = printAddress(session.source);
  try {
    using client: ControlClient = await connectControl(config.control.socket);
    await client.allow(source, `${2 * time}ms`);
    return source;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    stderr.write(
      `warning: The address of this session is not let in meanwhile: ${harmless(error.message.split('\n')[0] ?? '')}\n`,
    );
    return undefined;
  }
}

/** Should the time be over and nobody take the change back, it is done here. */
export async function waitForOutcome(
  { config }: Proposal,
  change: PendingChange,
  { terminal, interrupted }: { readonly terminal: Terminal; readonly interrupted: () => boolean },
): Promise<Outcome> {
  const folder = config.state.dir;
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
