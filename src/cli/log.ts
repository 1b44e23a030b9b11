/**
 * `postern log`: what happened, and with `--follow` what happens. With `--json`, one event a line. Where no daemon runs, what the last one
 * has written down.
 */

import { type Command, Option } from 'commander';
import type { ControlClient, LogRequest } from '../control/client.ts';
import { MOST_LOGGED } from '../control/request.ts';
import { type EventType, HISTORY_WORDS, type WireEntry, type WireEvent } from '../control/wire-event.ts';
import { reasonOf } from '../keeper/journal.ts';
import { readAddress, readLogLimit, readSinceText, readTypes } from './arguments.ts';
import { ask, controlCommand } from './ask.ts';
import { stateOf } from './daemon-socket.ts';
import { LogLines } from './log-lines.ts';
import { readPastLog } from './past-log.ts';
import { paintFor, type Terminal } from './terminal.ts';
import { harmless } from './wording.ts';

interface LogOptions {
  readonly door?: string;
  readonly source?: string;
  readonly type?: readonly EventType[];
  readonly since?: string;
  readonly limit?: number;
  readonly follow?: true;
  readonly json?: true;
}

export function addLog(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'log')
    .description('show what happened, the latest last')
    .option('-d, --door <name>', 'of one door only')
    .addOption(new Option('-s, --source <address>', 'of one address only').argParser(readAddress))
    .addOption(
      new Option(
        '-t, --type <types>',
        `of these types only, separated by commas: ${Object.keys(HISTORY_WORDS).join(', ')}`,
      ).argParser(readTypes),
    )
    .addOption(
      new Option(
        '--since <time>',
        'not older than this: 1h for an hour, or a time such as "2030-01-31 12:00"',
      ).argParser(readSinceText),
    )
    .addOption(
      new Option(
        '-n, --limit <number>',
        'so many at most, the latest (default: 100); 0 with --follow: only what happens from now on',
      ).argParser(readLogLimit),
    )
    .option('-f, --follow', 'go on with what happens, until interrupted')
    .addOption(new Option('--json', 'print one JSON object a line: time, type, door, source, reason and more'))
    .action(async (options: LogOptions, command: Command) => {
      if (options.limit === 0 && !options.follow) {
        const message = `Write a whole number from 1 to ${MOST_LOGGED}.`;
        command.error(`error: option '-n, --limit <number>' argument '0' is invalid. ${message}`, { exitCode: 2 });
      }
      const talk = (client: ControlClient): Promise<number> => showLog(client, options, terminal);
      end(
        await ask(command, terminal, talk, () => (options.follow ? undefined : showPast(command, options, terminal))),
      );
    });
}

/** Prints events on lines of their own. */
function printerOf({ json }: LogOptions, terminal: Terminal) {
  const lines = new LogLines(paintFor(terminal.stdout, terminal.environment));
  return {
    expect: (events: readonly WireEntry[]): void => lines.expect(events),
    print: (event: WireEvent): void => {
      terminal.stdout.write(`${json ? JSON.stringify(event) : lines.print(event)}\n`);
    },
  };
}

/** What is asked of the past. */
function requestOf({ door, source, type, since, limit }: LogOptions): LogRequest {
  return {
    ...(door !== undefined && { door }),
    ...(source !== undefined && { source }),
    ...(type && { types: type }),
    ...(since !== undefined && { since }),
    ...(limit !== undefined && { limit }),
  };
}

async function showLog(client: ControlClient, options: LogOptions, terminal: Terminal): Promise<number> {
  const { follow, limit } = options;
  const { expect, print } = printerOf(options, terminal);
  // What happens between question and answer is in both, or in what follows alone: nothing is left out, nothing is said twice.
  let last = 0;
  let early: WireEvent[] | undefined = [];
  const hear = (event: WireEvent): void => {
    if (early) early.push(event);
    else if (!('id' in event) || event.id > last) print(event);
  };
  const { since: _, limit: __, ...filter } = requestOf(options);
  if (follow) await client.follow({ types: Object.keys(HISTORY_WORDS) as EventType[], ...filter }, hear);
  const entries: readonly WireEntry[] = limit === 0 ? [] : await client.log(requestOf(options));
  expect(entries);
  for (const entry of entries) {
    print(entry);
    last = Math.max(last, entry.id);
  }
  if (!follow) return 0;
  const heard = early;
  early = undefined;
  heard.forEach(hear);
  const interrupted = new Promise<true>((resolve) => terminal.onInterrupt(() => resolve(true)));
  if (await Promise.race([interrupted, client.ended])) return 0;
  terminal.stderr.write('postern: The daemon ended the connection\n');
  return 1;
}

/** The history that a dead daemon has left; undefined when there is none, or none for this user. */
function showPast(command: Command, options: LogOptions, terminal: Terminal): number | undefined {
  try {
    const where = stateOf(command);
    const past = where && readPastLog(where.state, where.ipv6Prefix, requestOf(options));
    if (!past) return undefined;
    terminal.stderr.write(`postern: No daemon runs; this is from ${past.file}\n`);
    const { expect, print } = printerOf(options, terminal);
    expect(past.entries);
    past.entries.forEach(print);
    return 0;
  } catch (error) {
    terminal.stderr.write(`postern: Cannot read what it has left: ${harmless(reasonOf(error))}\n`);
    return undefined;
  }
}
