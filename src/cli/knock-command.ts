/** `postern knock`: the same as `knock`. */

import type { Command } from 'commander';
import { main as knock } from './knock.ts';

export function addKnock(program: Command, end: (status: number) => void): void {
  program
    .command('knock')
    .description('knock on a door: postern knock HOST PORT[:udp] ... ("postern knock --help" for all options)')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .argument('[words...]')
    .action(async (words: string[]) => end(await knock(words)));
}
