/** `postern show`: how a door is set up and knocked on, as the daemon has it; when none runs, as the configuration has it. */

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { printPorts, printStep } from '../config/ports.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import { printProblem } from '../config/problem.ts';
import { printDuration } from '../config/quantity.ts';
import { ControlError, connectControl } from '../control/client.ts';
import type { DoorShown } from '../control/controlled.ts';
import type { DoorPolicy } from '../core/policy.ts';
import { reasonOf } from '../keeper/journal.ts';
import { jsonOption } from './arguments.ts';
import { complain, controlCommand, refused } from './ask.ts';
import { DEFAULT_CONFIG, socketOf } from './daemon-socket.ts';
import { absolute } from './load-knockd-conf.ts';
import { isPosternToml } from './load-postern-toml.ts';
import { type Paint, paintFor, type Terminal } from './terminal.ts';
import { alignColumns, harmless } from './wording.ts';

export function addShow(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'show')
    .description('show how a door is set up and knocked on')
    .argument('<door>', 'the name of the door')
    .addOption(jsonOption())
    .action(async (name: string, options: { json?: true }, command: Command) => {
      const { stdout, environment } = terminal;
      try {
        const { door, from } = await find(name, command);
        if (options.json) stdout.write(`${JSON.stringify(door)}\n`);
        else {
          const lines = describeDoor(door, paintFor(stdout, environment));
          if (from !== undefined) lines.push('', `No daemon runs; this is from ${from}`);
          stdout.write(`${lines.join('\n')}\n`);
        }
        end(0);
      } catch (error) {
        if (!(error instanceof ControlError)) throw error;
        complain(terminal, error);
        end(1);
      }
    });
}

async function find(name: string, command: Command): Promise<{ readonly door: DoorShown; readonly from?: string }> {
  const { config, socket } = command.optsWithGlobals<{ config?: string; socket?: string }>();
  try {
    using client = await connectControl(socketOf(command));
    return { door: await client.show(name) };
  } catch (error) {
    const silent = error instanceof ControlError && error.problem === 'no-daemon';
    if (!silent || (socket !== undefined && config === undefined)) throw error;
    const door = readDoor(config ?? DEFAULT_CONFIG, name, error);
    return { door, from: config ?? DEFAULT_CONFIG };
  }
}

function readDoor(file: string, name: string, noDaemon: ControlError): DoorShown {
  let text: Uint8Array;
  try {
    text = readFileSync(absolute(file));
  } catch (error) {
    throw refused(`${noDaemon.message}, and ${file}: ${reasonOf(error)}`, noDaemon.hint);
  }
  if (file.endsWith('.conf') && !isPosternToml(absolute(file))) {
    const hint = `Turn it into a postern.toml: postern import ${file}`;
    throw refused(`${noDaemon.message}, and ${file} is a configuration of knockd`, hint);
  }
  const result = parsePosternToml(text, { file });
  if (!result.ok) throw refused(result.problems.map(printProblem).join('\n'));
  const { doors } = result.config;
  const door = doors.find((found) => found.name === name);
  if (door) return showDoor(door);
  const names = doors.map((found) => found.name).join(', ') || 'none at all';
  const hint = `There ${doors.length === 1 ? 'is' : 'are'} ${names}`;
  throw refused(`There is no door "${name}" in ${file}`, hint);
}

/** A door as the control socket shows it. */
export function showDoor({ name, protect, openFor, renew, close, knock }: DoorPolicy): DoorShown {
  return {
    name,
    protect: protect.map(printPorts),
    open_for_ms: openFor,
    renew,
    close,
    ...(knock && { steps: knock.steps.map(printStep), within_ms: knock.window }),
  };
}

const SESSIONS: Readonly<Record<string, string>> = {
  keep: 'sessions go on after that',
  cut: 'sessions stall after that, until the next knock',
  kill: 'sessions are reset after that',
};

function describeDoor(door: DoorShown, paint: Paint): string[] {
  const { name, protect, steps, within_ms: within } = door;
  const rows = [
    [paint('dim', 'door'), paint('bold', harmless(name))],
    [paint('dim', 'protects'), protect.map(harmless).join(' ') || 'no port: it has hooks alone'],
    [
      paint('dim', 'opens for'),
      `${printDuration(door.open_for_ms)}, ${door.renew ? 'begun anew by another knock' : 'whatever is knocked meanwhile'}; ${SESSIONS[door.close] ?? harmless(door.close)}`,
    ],
  ];
  if (steps && steps.length > 0) {
    const wait = within === undefined ? '' : `, within ${printDuration(within)}`;
    rows.push([paint('dim', 'knock'), `${steps.map(harmless).join(' ')}${wait}`]);
    rows.push([paint('dim', 'try'), `knock HOST ${steps.map(knockWord).join(' ')}`]);
  } else rows.push([paint('dim', 'knock'), `none: postern open ${harmless(name)} ADDRESS`]);
  return [...alignColumns(rows)];
}

/** A step as knock(1) takes it. */
function knockWord(step: string): string {
  const [protocol, port = ''] = harmless(step).split('/');
  return protocol === 'tcp' ? port : `${port}:${protocol}`;
}
