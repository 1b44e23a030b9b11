/** `postern reload`: the daemon reads its configuration again. A broken one changes nothing, and all that is wrong with it is said. */

import type { Command } from 'commander';
import { jsonOption } from './arguments.ts';
import { ask, controlCommand } from './ask.ts';
import type { Terminal } from './terminal.ts';
import { count, harmless } from './wording.ts';

export function addReload(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'reload')
    .description('make the daemon read its configuration again; a broken one changes nothing')
    .addOption(jsonOption())
    .action(async (options: { json?: true }, command: Command) => {
      end(
        await ask(command, terminal, async (client) => {
          const result = await client.reload();
          for (const warning of options.json ? [] : result.warnings) {
            terminal.stderr.write(`${warning.split('\n').map(harmless).join('\n')}\n`);
          }
          const text = options.json ? JSON.stringify(result) : `reloaded: ${count(result.doors, 'door')}`;
          terminal.stdout.write(`${text}\n`);
          return 0;
        }),
      );
    });
}
