/** What is checked on the command line before anything is asked of the daemon: a slip in it is a usage error. */

import { InvalidArgumentError, Option } from 'commander';
import { parsePrefix } from '../config/prefix.ts';
import { parseDuration } from '../config/quantity.ts';
import { LONGEST_GRANT, MOST_LOGGED, parseSince, SHORTEST_GRANT } from '../control/request.ts';
import { type EventType, HISTORY_WORDS } from '../control/wire-event.ts';
import { family, parseAddress, printAddress } from '../core/address.ts';

/** An address, or an IPv6 network as `status` shows sources: whether its length is the one they are kept by, the daemon knows. */
export function readAddress(text: string): string {
  const [, written = '', length] = /^([^/]*)(?:\/([0-9]{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(written);
  const most = address && family(address) === 4 ? 32 : 128;
  if (address && (length === undefined || Number(length) === most)) return printAddress(address);
  if (address && most === 128 && Number(length) <= most) return `${printAddress(address)}/${Number(length)}`;
  if (address && 'value' in parsePrefix(text))
    throw new InvalidArgumentError(
      `Write one address such as "192.0.2.7": IPv4 sources are taken one by one. Blocks are for the file, allow = ["${text}"] in postern.toml to trust one, or the sources of a door.`,
    );
  throw new InvalidArgumentError('Write an IP address such as "192.0.2.7".');
}

/** The text, when it is a duration. */
export function readDurationText(text: string): string {
  const reading = parseDuration(text);
  if ('message' in reading) throw new InvalidArgumentError(`${reading.hint}.`);
  return text;
}

/** A duration that the daemon takes for a grant, or as many days of another kind. */
export function readTimeText(days = LONGEST_GRANT): (text: string) => string {
  return (text) => {
    const reading = parseDuration(readDurationText(text));
    if ('value' in reading && (reading.value < SHORTEST_GRANT || reading.value > days * DAY))
      throw new InvalidArgumentError(`It is from ${SHORTEST_GRANT}ms to ${days}d.`);
    return text;
  };
}

const DAY = 86_400_000;

export function readSinceText(text: string): string {
  if (parseSince(text, 0) === undefined)
    throw new InvalidArgumentError('Write "1h" for an hour ago, or a time such as "2030-01-31 12:00".');
  return text;
}

export function readLimit(text: string): number {
  const number = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > MOST_LOGGED)
    throw new InvalidArgumentError(`Write a whole number from 1 to ${MOST_LOGGED}.`);
  return number;
}

/** The same, or none at all, for who wants only what comes. */
export function readLogLimit(text: string): number {
  return text === '0' ? 0 : readLimit(text);
}

/** Types of events, separated by commas; given again, more of them. */
export function readTypes(text: string, before: readonly EventType[] = []): readonly EventType[] {
  const types = text.split(',').map((type) => type.trim());
  const strange = types.find((type) => !Object.hasOwn(HISTORY_WORDS, type));
  if (strange !== undefined)
    throw new InvalidArgumentError(`There is no "${strange}"; there are ${Object.keys(HISTORY_WORDS).join(', ')}.`);
  return [...new Set([...before, ...(types as EventType[])])];
}

export const jsonOption = (): Option => new Option('--json', 'print it as JSON');
