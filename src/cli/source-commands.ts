/** `postern ban` and `unban`, `allow` and `disallow`: who is kept out and who always passes, for a while. Ending what has ended is no failure. */

import { type Command, Option } from 'commander';
import type { ControlClient, WireSource } from '../control/client.ts';
import { LONGEST_BAN } from '../control/request.ts';
import { jsonOption, readAddress, readTimeText } from './arguments.ts';
import { ask, controlCommand } from './ask.ts';
import type { Terminal } from './terminal.ts';
import { placeText, timeLeft } from './wording.ts';

interface Beginning {
  readonly name: string;
  readonly about: string;
  readonly source: string;
  readonly begin: (client: ControlClient, source: string, duration: string | undefined) => Promise<WireSource>;
  readonly verb: string;
  /** The longest. */
  readonly days?: number;
}

interface End {
  readonly name: string;
  readonly about: string;
  readonly end: (client: ControlClient, source: string) => Promise<{ readonly ended: boolean }>;
  readonly words: readonly [ended: string, before: string];
}

export function addBan(program: Command, end: (status: number) => void, terminal: Terminal): void {
  addBeginning(program, end, terminal, {
    name: 'ban',
    about: 'drop everything from an address for a while; not one that has a grant or a session, or is trusted',
    source: 'the address to drop',
    begin: (client, source, duration) => client.ban(source, duration),
    verb: 'is banned',
    days: LONGEST_BAN,
  });
}

export function addUnban(program: Command, end: (status: number) => void, terminal: Terminal): void {
  addEnd(program, end, terminal, {
    name: 'unban',
    about: 'end the ban of an address',
    end: (client, source) => client.unban(source),
    words: ['is no longer banned', 'was not banned'],
  });
}

export function addAllow(program: Command, end: (status: number) => void, terminal: Terminal): void {
  addBeginning(program, end, terminal, {
    name: 'allow',
    about: 'let an address pass every door for a while, whatever bans say',
    source: 'the address to let pass',
    begin: (client, source, duration) => client.allow(source, duration),
    verb: 'passes every door',
    days: LONGEST_BAN,
  });
}

export function addDisallow(program: Command, end: (status: number) => void, terminal: Terminal): void {
  addEnd(program, end, terminal, {
    name: 'disallow',
    about: 'no longer let an address pass every door',
    end: (client, source) => client.disallow(source),
    words: ['no longer passes every door', 'did not pass every door'],
  });
}

function addBeginning(program: Command, end: (status: number) => void, terminal: Terminal, of: Beginning): void {
  controlCommand(program, of.name)
    .description(of.about)
    .argument('<source>', of.source, readAddress)
    .addOption(
      new Option('--for <duration>', 'for how long, such as 30s or 1h30m; without it, ten minutes').argParser(
        readTimeText(of.days),
      ),
    )
    .addOption(jsonOption())
    .action(async (source: string, options: { for?: string; json?: true }, command: Command) => {
      end(
        await ask(command, terminal, async (client) => {
          const begun = await of.begin(client, source, options.for);
          const text = `${placeText(begun)} ${of.verb}, ${timeLeft(begun.remaining_ms)} left`;
          terminal.stdout.write(`${options.json ? JSON.stringify(begun) : text}\n`);
          return 0;
        }),
      );
    });
}

function addEnd(program: Command, end: (status: number) => void, terminal: Terminal, of: End): void {
  controlCommand(program, of.name)
    .description(of.about)
    .argument('<source>', 'the address', readAddress)
    .addOption(jsonOption())
    .action(async (source: string, options: { json?: true }, command: Command) => {
      end(
        await ask(command, terminal, async (client) => {
          const { ended } = await of.end(client, source);
          const text = `${source} ${of.words[ended ? 0 : 1]}`;
          terminal.stdout.write(`${options.json ? JSON.stringify({ ended }) : text}\n`);
          return 0;
        }),
      );
    });
}
