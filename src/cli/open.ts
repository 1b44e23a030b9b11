/** `postern open`: a grant by hand. */

import { type Command, Option } from 'commander';
import { jsonOption, readAddress, readTimeText } from './arguments.ts';
import { ask, controlCommand } from './ask.ts';
import type { Terminal } from './terminal.ts';
import { harmless, placeText, timeLeft } from './wording.ts';

export function addOpen(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'open')
    .description('open a door for an address')
    .argument('<door>', 'the name of the door')
    .argument('<source>', 'the address that may come in', readAddress)
    .addOption(
      new Option('--for <duration>', 'for how long, such as 30s or 1h30m; without it, the time of the door').argParser(
        readTimeText(),
      ),
    )
    .addOption(jsonOption())
    .action(async (door: string, source: string, options: { for?: string; json?: true }, command: Command) => {
      end(
        await ask(command, terminal, async (client) => {
          const grant = await client.open(door, source, options.for);
          const text = options.json
            ? JSON.stringify(grant)
            : `${harmless(door)} is open for ${placeText(grant)}, ${timeLeft(grant.remaining_ms)} left`;
          terminal.stdout.write(`${text}\n`);
          return 0;
        }),
      );
    });
}
