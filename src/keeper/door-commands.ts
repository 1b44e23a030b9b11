/**
 * Which command lines a door runs for a source: `%IP%` replaced, IPv6 variants chosen, knockd's length limit kept. knockd(1).
 *
 * `%IP%` becomes the address as this program prints it from 128 bits, so it cannot carry a character that means anything to a shell.
 */

import { type Address, family, printAddress } from '../core/address.ts';

/** The commands of one door as configured; undefined is not given, an empty text is given and empty. */
export interface DoorCommands {
  readonly startCommand?: string | undefined;
  readonly startCommand6?: string | undefined;
  readonly stopCommand?: string | undefined;
  readonly stopCommand6?: string | undefined;
}

export type CommandLines =
  /** `start` may be all there is; without one nothing runs, whatever `stop` says. */
  | { readonly start: string; readonly stop: string | undefined }
  | { readonly nothing: true }
  | { readonly refused: string };

const LONGEST = 4095;

export function commandLines(commands: DoorCommands, source: Address): CommandLines {
  const six = family(source) === 6;
  const start = six ? (commands.startCommand6 ?? commands.startCommand) : commands.startCommand;
  const stop = six ? (commands.stopCommand6 ?? commands.stopCommand) : commands.stopCommand;
  if (start === undefined || start === '') return { nothing: true };
  const address = printAddress(source);
  const startLine = start.replaceAll('%IP%', () => address);
  const stopLine = stop?.replaceAll('%IP%', () => address);
  if (tooLong(startLine)) return { refused: "error: parsed start command has been truncated! --> won't execute it" };
  if (stopLine !== undefined && tooLong(stopLine)) {
    return { refused: "error: parsed stop command has been truncated! --> won't execute start command" };
  }
  return { start: startLine, stop: stopLine };
}

function tooLong(line: string): boolean {
  return new TextEncoder().encode(line).length > LONGEST;
}
