/** `postern completion`: the script that makes a shell complete our commands; and what the script asks for, the names of the doors. */

import { readFileSync } from 'node:fs';
import { Argument, type Command } from 'commander';
import { parsePosternToml } from '../config/postern-toml.ts';
import { connectControl } from '../control/client.ts';
import { controlCommand } from './ask.ts';
import { describeCommand } from './command-tree.ts';
import { bashCompletion } from './completion-bash.ts';
import { fishCompletion } from './completion-fish.ts';
import { otherPrograms } from './completion-programs.ts';
import { zshCompletion } from './completion-zsh.ts';
import { DEFAULT_CONFIG, socketOf } from './daemon-socket.ts';
import { absolute } from './load-knockd-conf.ts';
import type { Terminal } from './terminal.ts';

const SHELLS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export function addCompletion(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'completion')
    .description(
      'print the completions of a shell, for all our programs: postern completion bash > /etc/bash_completion.d/postern',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SHELLS)))
    .action((shell: keyof typeof SHELLS) => {
      terminal.stdout.write(SHELLS[shell](describeCommand(program), otherPrograms()));
      end(0);
    });
  // Hidden: the scripts call it.
  program
    .command('complete-doors', { hidden: true })
    .description('print the names of the doors')
    .action(async (_: object, command: Command) => {
      for (const name of await doorNames(command)) terminal.stdout.write(`${name}\n`);
      end(0);
    });
}

/** From the daemon, else from the configuration; none when neither is to be had. */
async function doorNames(command: Command): Promise<readonly string[]> {
  try {
    using client = await connectControl(socketOf(command));
    return (await client.status()).doors.map(({ name }) => name);
  } catch {
    const { config = DEFAULT_CONFIG } = command.optsWithGlobals<{ config?: string }>();
    try {
      const result = parsePosternToml(readFileSync(absolute(config)), { file: config });
      return result.ok ? result.config.doors.map(({ name }) => name) : [];
    } catch {
      return [];
    }
  }
}
