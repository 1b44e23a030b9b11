/** `postern close`: ends grants before their time. Ending what has ended is no failure. */

import type { Command } from 'commander';
import { parseAddress } from '../core/address.ts';
import { jsonOption, readAddress } from './arguments.ts';
import { ask, complain, controlCommand, refused } from './ask.ts';
import type { Terminal } from './terminal.ts';
import { count, harmless } from './wording.ts';

export function addClose(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'close')
    .description('close a door for an address, or for everybody')
    .argument('<door>', 'the name of the door')
    .argument('[source]', 'the address whose grant ends; without it, all of the door', readAddress)
    .addOption(jsonOption())
    .action(async (door: string, source: string | undefined, options: { json?: true }, command: Command) => {
      if (source === undefined && parseAddress(door)) {
        const hint = `Name the door, too: postern close DOOR ${door}`;
        complain(terminal, refused(`"${door}" is an address, and no door`, hint));
        return end(1);
      }
      end(
        await ask(command, terminal, async (client) => {
          const { closed } = await client.close(door, source);
          terminal.stdout.write(
            options.json ? `${JSON.stringify({ closed })}\n` : `${describe(door, source, closed)}\n`,
          );
          return 0;
        }),
      );
    });
}

function describe(door: string, source: string | undefined, closed: number): string {
  const name = harmless(door);
  if (source === undefined)
    return closed === 0 ? `${name} was not open` : `${name} is closed, ${count(closed, 'grant')} ended`;
  return closed === 0 ? `${name} was not open for ${source}` : `${name} is closed for ${source}`;
}
