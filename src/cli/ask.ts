/** The frame of every command that talks to the daemon: its options, the connection, and what is said when it fails. */

import { type Command, Option } from 'commander';
import { parsePosternToml } from '../config/postern-toml.ts';
import { type ControlClient, ControlError, connectControl } from '../control/client.ts';
import { readStanding } from '../store/pending-change.ts';
import { DEFAULT_CONFIG, runningDaemon, runningSocket, socketOf, socketOrigin, stateOf } from './daemon-socket.ts';
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
    complain(terminal, isNobodyThere ? withLegacy(error, command) : error);
    return 1;
  }
}

/** With the socket that was tried, and why it was that one; the hint is where a daemon does listen, if that is known. */
export function withOrigin({ problem, message, hint }: ControlError, command: Command): ControlError {
  const pid = runningDaemon();
  const where = socketOrigin(command);
  if (pid === undefined) return new ControlError(problem, `${message} (${where})`, hint);
  const running = runningSocket();
  if (running === undefined) {
    const silent = `posternd (pid ${pid}) guards this host, and does not listen there (${where})`;
    return new ControlError(
      problem,
      silent,
      'It may be starting or ending: ask again in a moment; else its log says why',
    );
  }
  const elsewhere = `A daemon listens at ${running}, as its configuration said when it started: postern --socket ${running} ${command.name()} ... ([state] dir and [control] socket change with its next start)`;
  return new ControlError(problem, `${message} (${where})`, elsewhere);
}

/** The same, and what a daemon that died may have left. */
function withLegacy(error: ControlError, command: Command): ControlError {
  const { problem, message, hint } = withOrigin(error, command);
  const driver = runningDaemon() === undefined ? leftGuard(command) : undefined;
  if (driver === undefined) return new ControlError(problem, message, hint);
  const how = driver === 'nftables' ? 'nft delete table inet postern' : `see doc/firewalls.md for ${driver}`;
  return new ControlError(
    problem,
    `${message}: what it closed may be closed still, and nobody hears a knock`,
    `Start posternd (--config FILE); or have nothing closed any more: ${how}`,
  );
}

/** The driver of the guard that stands without a daemon, for all that is known. Only root can see that. */
function leftGuard(command: Command): string | undefined {
  try {
    const where = stateOf(command);
    const text = where && readStanding(where.state);
    const left = text === undefined ? undefined : parsePosternToml(text, { file: DEFAULT_CONFIG, directory: '/' });
    return left?.ok && left.config.mode !== 'observe' ? left.config.firewall.driver : undefined;
  } catch (error) {
    if (error instanceof ControlError) return undefined;
    throw error;
  }
}

/** What a command does not do, though nothing failed. */
export function refused(message: string, hint?: string): ControlError {
  return new ControlError('refused', message, hint);
}

/** On standard error: what went wrong, and the way out. */
export function complain(terminal: Terminal, { message, hint }: ControlError): void {
  const lines = message.split('\n').map(harmless);
  terminal.stderr.write(`postern: ${lines.join('\n')}\n${hint === undefined ? '' : `hint: ${harmless(hint)}\n`}`);
}
