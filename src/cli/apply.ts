/**
 * `postern apply`: puts the configuration in force on trial. A rollback is armed before anything changes, by somebody who outlives this
 * session and the daemon; `postern confirm`, from a session that came in through a door, makes the change stay.
 */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../config/quantity.ts';
import { ControlError } from '../control/client.ts';
import { readDurationText } from './arguments.ts';
import { armRollback } from './arm-rollback.ts';
import { complain, controlCommand, refused } from './ask.ts';
import { posternCommand } from './daemon-socket.ts';
import { describeProposal, type Proposal, readProposal } from './proposal.ts';
import { rejectedFile } from './take-back.ts';
import { paintFor, type Terminal } from './terminal.ts';
import { beginTrial, letPeerIn, type Outcome, putInForce, refuseSecond, waitForOutcome } from './trial-run.ts';
import { harmless } from './wording.ts';

const USUAL_TIME = '60s';
/** Less is over before anybody can have knocked; more is no trial. */
const SHORTEST = 3000;
const LONGEST = 24 * 3_600_000;

interface Wanted {
  readonly command: Command;
  readonly terminal: Terminal;
  /** Ask nothing. */
  readonly yes: boolean;
  readonly within: string;
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
export async function applyAndWait(wanted: Wanted): Promise<number> {
  const { command, terminal } = wanted;
  try {
    const proposal = await readProposal(command, terminal);
    if (!proposal) return 1;
    const { running, previous, text, shown } = proposal;
    refuseSecond(proposal);
    if (running && previous === text) {
      terminal.stdout.write('There is nothing to apply: this configuration is in force\n');
      return 0;
    }
    for (const line of await describeProposal(proposal, terminal)) terminal.stdout.write(`${line}\n`);
    if (wanted.yes || (await isAgreed(terminal))) return await tryOut(proposal, wanted);
    terminal.stderr.write(`postern: Nothing was put in force. When it is to be: ${posternCommand(shown, 'apply')}\n`);
    return 1;
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    complain(terminal, error);
    return 1;
  }
}

async function isAgreed({ question }: Terminal): Promise<boolean> {
  if (!question) throw refused('There is nobody to ask', 'Add --yes');
  return /^y(es)?$/i.test((await question('Put it in force? [y/N] ')).trim());
}

async function tryOut(proposal: Proposal, { terminal, within, knock }: Wanted): Promise<number> {
  const { stdout, stderr } = terminal;
  const time = milliseconds(within);
  const change = beginTrial(proposal, time, terminal);
  // From here on something must be said to who ends the command.
  let interrupted = false;
  terminal.onInterrupt(() => {
    interrupted = true;
  });
  armRollback(proposal.config.state.dir, change.token, time);
  const doubts = await putInForce(proposal, change, terminal);
  if (!doubts) return 1;
  // The file's own were told above.
  for (const doubt of doubts.filter((each) => !proposal.complaints.includes(each)))
    stderr.write(`warning: ${harmless(doubt)}\n`);
  const guest = await letPeerIn(proposal, time, terminal);
  // Where that will be typed, relative paths lead elsewhere.
  const { file } = proposal;
  const confirm = `open a new session, and there: ${posternCommand(file, 'confirm')}`;
  const how =
    knock === undefined
      ? `Knock (${posternCommand(file, 'show DOOR')} says how), ${confirm}`
      : `From another machine:\n\n  ${knock}\n\nthen ${confirm}`;
  stdout.write(`In force for ${within}. ${how}\n`);
  if (guest !== undefined)
    stdout.write(
      `${guest}, where you are, gets in without a knock for twice that time; to confirm, knock from there all the same\n`,
    );
  const outcome = await waitForOutcome(proposal, change, { terminal, interrupted: () => interrupted });
  tell(outcome, proposal, terminal);
  return outcome === 'confirmed' ? 0 : 1;
}

function tell(outcome: Outcome, { previous, shown }: Proposal, { stdout, stderr, environment }: Terminal): void {
  const paint = paintFor(stdout, environment);
  switch (outcome) {
    case 'confirmed':
      stdout.write(`${paint('green', 'confirmed')}: the new configuration stays\n`);
      return;
    case 'reverted': {
      const now =
        previous === undefined ? 'no port is hidden any more, posternd has ended' : 'what was in force before is back';
      stdout.write(`${paint('yellow', 'not confirmed')}: ${now}, what was tried is ${rejectedFile(shown)}\n`);
      stdout.write(
        `hint: To try it again: mv ${rejectedFile(shown)} ${shown}, then ${posternCommand(shown, 'apply')}\n`,
      );
      return;
    }
    case 'open':
      stderr.write('postern: The trial goes on without this command: confirm it, or it is taken back\n');
      return;
    case undefined:
      stderr.write('postern: How the trial ended is not known: see postern log -t applied,confirmed,reverted\n');
      return;
  }
}

function milliseconds(duration: string): number {
  const reading = parseDuration(duration);
  return 'value' in reading ? reading.value : 60_000;
}
