/** The frame of every command that talks to the daemon: its options, the connection, and what is said when it fails. */

import { type Command, Option } from 'commander';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import { readStanding } from '../store/pending-change.ts';
import { runningSocket, socketOf, socketOrigin, stateOf } from './daemon-socket.ts';
import type { Terminal } from './terminal.ts';
import { harmless } from './wording.ts';

/** A subcommand that takes `--config` and `--socket` after its name, too. */
export function controlCommand(program: Command, name: string): Command {
  const command = program.command(name);
  for (const option of controlOptions()) command.addOption(option.hideHelp());
  return command;
}

export function controlOptions(): readonly Option[] {
  return [
    new Option('-c, --config <file>', 'the configuration, which says where the daemon listens'),
    new Option('--socket <file>', 'the control socket itself'),
  ];
}

/** Connects and lets `talk` have its way; the exit status. `alone`: what can be answered where no daemon runs, undefined when nothing. */
export async function ask(
  command: Command,
  terminal: Terminal,
  talk: (client: ControlClient) => Promise<number>,
  alone: () => number | undefined = () => undefined,
): Promise<number> {
  try {
    using client = await connectControl(socketOf(command));
    return await talk(client);
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    const isNobodyThere = error.problem === 'no-daemon';
    // A daemon that listens elsewhere is the one that is to be asked.
    const status = isNobodyThere && runningSocket() === undefined ? alone() : undefined;
    if (status !== undefined) return status;
    complain(terminal, isNobodyThere ? withOrigin(error, command) : error);
    return 1;
  }
}

/** With the socket that was tried, and why it was that one; the hint is where a daemon does listen, if that is known. */
export function withOrigin({ problem, message, hint }: ControlError, command: Command): ControlError {
  const running = runningSocket();
  if (running === undefined && leftGuard(command))
    return new ControlError(
      problem,
      `${message} (${socketOrigin(command)}): what it closed stays closed, and nobody hears a knock`,
      OPEN_ALL,
    );
  const elsewhere = `A daemon listens at ${running}, as its configuration said when it started: postern --socket ${running} ${command.name()} ... ([state] dir and [control] socket change with its next start)`;
  return new ControlError(problem, `${message} (${socketOrigin(command)})`, running === undefined ? hint : elsewhere);
}

const OPEN_ALL =
  'Start posternd (--config FILE); or have nothing closed any more: nft delete table inet postern (other firewalls: doc/firewalls.md)';

/** Did a daemon die and leave its guard? Only root can see that. */
function leftGuard(command: Command): boolean {
  try {
    const where = stateOf(command);
    return where !== undefined && readStanding(where.state) !== undefined;
  } catch (error) {
    if (error instanceof ControlError) return false;
    throw error;
  }
}

/** On standard error: what went wrong, and the way out. */
export function complain(terminal: Terminal, { message, hint }: ControlError): void {
  const lines = message.split('\n').map(harmless);
  terminal.stderr.write(`postern: ${lines.join('\n')}\n${hint === undefined ? '' : `hint: ${harmless(hint)}\n`}`);
}
