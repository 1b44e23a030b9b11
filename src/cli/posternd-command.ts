/** The command line of posternd, apart from the daemon: the manual and the completions are made of it, too. */

import { Command } from 'commander';
import { DEFAULT_CONFIG } from './daemon-socket.ts';
import { readVersion } from './version.ts';

export function posterndProgram(): Command {
  return new Command('posternd')
    .description('Closes ports, and opens them to whoever knocks right; runs in the foreground')
    .version(readVersion())
    .option('-c, --config <file>', 'the configuration', DEFAULT_CONFIG)
    .option('--guard-only', 'close the doors and end: for the early boot, until the daemon takes over', false)
    .option('--strict', 'refuse a configuration with warnings', false)
    .option('-v, --verbose', 'say on standard output what the log says', false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'posternd: ')) });
}
