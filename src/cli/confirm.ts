/**
 * `postern confirm`: what is in force on trial stays. It counts from the console, and from an SSH session that proves the new way in
 * (session-proof.ts), before the time of the trial is over: after that, whoever takes it back may be at it already.
 */

import type { Command } from 'commander';
import { ControlError, connectControl } from '../control/client.ts';
import { uptimeNow } from '../platform/clock.ts';
import { confirmPending, type Now, readInterrupted, readPending, timeLeft } from '../store/pending-change.ts';
import { complain, controlCommand, refused, withOrigin } from './ask.ts';
import { DEFAULT_CONFIG } from './daemon-socket.ts';
import { unitOf } from './daemon-unit.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { judgeSession } from './session-proof.ts';
import { callersSession, isOverSsh } from './ssh-session.ts';
import type { Terminal } from './terminal.ts';

export function addConfirm(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'confirm')
    .description(
      'keep the configuration that is in force on trial; from a new session that came in by knock, or the console',
    )
    .action(async (_: object, command: Command) => {
      try {
        const { file, text, tried } = await confirm(command, terminal);
        terminal.stdout.write('confirmed: the new configuration stays\n');
        if (tried !== undefined && text !== tried)
          terminal.stderr.write(`warning: ${file} is not what was tried: it has been edited since\n${EDITED}\n`);
        if ((await unitOf(file))?.enabled === false)
          terminal.stdout.write('hint: It does not start with this machine: systemctl enable posternd\n');
        end(0);
      } catch (error) {
        if (!(error instanceof ControlError)) throw error;
        complain(terminal, error.problem === 'no-daemon' ? withOrigin(error, command) : error);
        end(1);
      }
    });
}

const EDITED = 'hint: The next start would put in force what nobody has tried: postern apply';

/** Resolves to the file, what it says now, and what was tried and stays. */
async function confirm(
  command: Command,
  terminal: Terminal,
): Promise<{ readonly file: string; readonly text: string | undefined; readonly tried: string | undefined }> {
  if (process.geteuid?.() !== 0) throw new ControlError('no-permission', 'Only root can confirm', 'Run it with sudo');
  const { config: shown = DEFAULT_CONFIG } = command.optsWithGlobals<{ config?: string }>();
  const file = absolute(shown);
  const { config, complaints, text } = loadPosternToml(file, { shownAs: shown, strict: false, starting: true });
  if (!config) throw refused(complaints.join('\n'));
  const { dir } = config.state;
  const pending = readPending(dir);
  if (!pending && readInterrupted(dir))
    throw refused(
      'The machine went down during the trial: what was in force before is back',
      'Try it anew: postern apply',
    );
  if (!pending) throw refused('There is nothing to confirm', `Changes are put on trial by postern apply`);
  const now = (): Now => ({ wall: terminal.wallNow(), uptime: uptimeNow() });
  const tooLate = (): ControlError =>
    refused(
      'It is too late: the time of the trial is over, and what was in force before comes back',
      'Try it anew: postern apply',
    );
  if (timeLeft(pending, now()) <= 0) throw tooLate();
  const session = callersSession(terminal.environment);
  if (!session && isOverSsh(terminal.environment)) {
    throw refused('This SSH session does not say where it comes from (SSH_CONNECTION)', 'Confirm at the console');
  }
  if (session) {
    using client = await connectControl(config.control.socket);
    await judgeSession(session, pending, client);
  }
  if (confirmPending(dir, pending.token, now()) !== 'confirmed') throw tooLate();
  await haveItToldNow(config.control.socket);
  return { file, text, tried: pending.tried };
}

/** The daemon finds out by itself, but its history is to have things in their order: whoever asks for its status makes it look. */
async function haveItToldNow(socket: string): Promise<void> {
  try {
    using client = await connectControl(socket);
    await client.status();
  } catch (error) {
    // A dead daemon tells it at its next start.
    if (!(error instanceof ControlError)) throw error;
  }
}
