/** postern: the command for people. One file per subcommand, listed here. Exit status: 0 done, 1 failed, 2 usage. */

import { Command } from 'commander';
import { addCheck } from './check.ts';
import { addFilter } from './filter.ts';
import { addImport } from './import.ts';
import { addKnock } from './knock-command.ts';
import { readVersion } from './version.ts';

const SUBCOMMANDS = [addCheck, addImport, addKnock, addFilter] as const;

/** Runs one subcommand; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  let status = 0;
  const program = new Command('postern')
    .description('Makes ports disappear and opens them to whoever brings the right knock')
    .version(readVersion())
    .option('-c, --config <file>', 'the configuration')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'postern: ')) });
  for (const add of SUBCOMMANDS) {
    add(program, (ended) => {
      status = ended;
    });
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    const { code, exitCode } = error as { code?: string; exitCode?: number };
    if (code === undefined || !code.startsWith('commander.')) throw error;
    return exitCode === 0 ? 0 : 2;
  }
}
