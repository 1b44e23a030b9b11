/**
 * What can be asked on the control socket (doc/control.md): `{"do":"open","door":"ssh","source":"192.0.2.7","for":"30s"}`, with `v` and `id`
 * as one likes. Keys and values are taken strictly: what is unknown is refused in words, never ignored.
 */

import { family, isHost, isLoopback, parseAddress, printAddress } from '../core/address.ts';
import { readDuration } from '../core/duration.ts';
import type { HistoryType } from '../core/history.ts';
import type { LogQuery } from './controlled.ts';
import { PROTOCOL, type RequestId } from './protocol.ts';
import { type EventType, type Filter, HISTORY_WORDS } from './wire-event.ts';

export type Request =
  | { readonly do: 'help' | 'status' | 'reload' }
  | { readonly do: 'show'; readonly door: string }
  | { readonly do: 'open'; readonly door: string; readonly source: string; readonly duration: number | undefined }
  | { readonly do: 'close'; readonly door: string; readonly source: string | undefined }
  | { readonly do: 'ban' | 'allow'; readonly source: string; readonly duration: number | undefined }
  | { readonly do: 'unban' | 'disallow'; readonly source: string }
  | { readonly do: 'attackers'; readonly limit: number | undefined }
  | { readonly do: 'log'; readonly query: LogQuery }
  | { readonly do: 'follow'; readonly filter: Filter };

/** A line of a client's: what it asks for, or what is wrong with it; the id as far as it could be read. */
export type Decoded = { readonly id?: RequestId } & ({ readonly request: Request } | { readonly error: string });

/** The requests with their keys; a key that may be left out ends in `?`. Also the answer to `help`. */
export const REQUESTS = {
  help: { about: 'this list', keys: [] },
  status: { about: 'doors, grants with the time they have left, bans, health', keys: [] },
  show: { about: 'how a door is set up and knocked on', keys: ['door'] },
  open: { about: 'opens a door for a source, for its own time or another', keys: ['door', 'source', 'for?'] },
  close: { about: 'ends the grant of a source, or all of a door', keys: ['door', 'source?'] },
  ban: { about: 'drops everything from a source, for ten minutes or another time', keys: ['source', 'for?'] },
  unban: { about: 'ends a ban', keys: ['source'] },
  allow: { about: 'lets a source pass every door, for ten minutes or another time', keys: ['source', 'for?'] },
  disallow: { about: 'ends that', keys: ['source'] },
  attackers: { about: 'who has been probing, the worst first', keys: ['limit?'] },
  log: { about: 'what happened, the latest last', keys: ['door?', 'source?', 'types?', 'since?', 'limit?'] },
  follow: { about: 'what happens from now on, as events', keys: ['door?', 'source?', 'types?'] },
  reload: { about: 'reads the configuration again', keys: [] },
} as const satisfies Record<Request['do'], { readonly about: string; readonly keys: readonly string[] }>;

export const MOST_LOGGED = 10_000;
const LONGEST_NAME = 256;
const LONGEST_ID = 128;
/** `2001:db8:9::/64`, as sources are shown. */
const SOURCE = /^([^/]*)(\/(?:0|[1-9][0-9]{0,2}))?$/;
export const SHORTEST_GRANT = 100;
export const LONGEST_GRANT = 365;
/** Ten years: fail2ban has bans without end. */
export const LONGEST_BAN = 3650;
const DAY = 86_400_000;

/** Says what is wrong with a request; never leaves this file. */
class Malformed extends Error {}

/** Reads a request; `wallNow` is what `"since":"1h"` counts from. Never throws. */
export function decodeRequest(line: Uint8Array, wallNow: number): Decoded {
  let id: RequestId | undefined;
  try {
    const object = readObject(line);
    id = readId(object.id);
    return { ...(id !== undefined && { id }), request: readRequest(object, wallNow) };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return { ...(id !== undefined && { id }), error: error.message };
  }
}

type Fields = Readonly<Record<string, unknown>>;

function readObject(line: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
  } catch {
    throw new Malformed('The line is not JSON: write one object such as {"do":"status"}');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Malformed('The line is not a JSON object: write one such as {"do":"status"}');
  return value as Fields;
}

function readId(value: unknown): RequestId | undefined {
  if (value === undefined || value === null || Number.isSafeInteger(value)) return (value ?? undefined) as RequestId;
  if (typeof value === 'string' && value.length <= LONGEST_ID) return value;
  throw new Malformed(`"id" must be a whole number or a text of up to ${LONGEST_ID} characters`);
}

function readRequest(object: Fields, wallNow: number): Request {
  const { v, do: asked } = object;
  if (v !== undefined && v !== PROTOCOL)
    throw new Malformed(`"v" must be ${PROTOCOL}: this daemon knows no other version`);
  if (typeof asked !== 'string' || !Object.hasOwn(REQUESTS, asked)) {
    const what = asked === undefined ? '"do" is missing' : `Cannot do ${quote(asked)}`;
    throw new Malformed(`${what}: there are ${Object.keys(REQUESTS).join(', ')}`);
  }
  const name = asked as Request['do'];
  refuseStrangeKeys(object, name);
  switch (name) {
    case 'help':
    case 'status':
    case 'reload':
      return { do: name };
    case 'show':
      return { do: name, door: needed('door', readName(object, 'door')) };
    case 'open':
      return {
        do: name,
        door: needed('door', readName(object, 'door')),
        source: needed('source', readSource(object, true)),
        duration: readFor(object.for),
      };
    case 'close':
      return { do: name, door: needed('door', readName(object, 'door')), source: readSource(object, false) };
    case 'ban':
    case 'allow':
      return {
        do: name,
        source: needed('source', readSource(object, true)),
        duration: readFor(object.for, LONGEST_BAN),
      };
    case 'unban':
    case 'disallow':
      return { do: name, source: needed('source', readSource(object, true)) };
    case 'attackers':
      return { do: name, limit: readLimit(object.limit) };
    case 'log':
      return {
        do: name,
        query: {
          ...readFilter(object, Object.keys(HISTORY_WORDS) as readonly HistoryType[]),
          ...present('since', readSince(object.since, wallNow)),
          ...present('limit', readLimit(object.limit)),
        },
      };
    case 'follow':
      return { do: name, filter: readFilter(object, [...(Object.keys(HISTORY_WORDS) as HistoryType[]), 'stage']) };
  }
}

function refuseStrangeKeys(object: Fields, name: Request['do']): void {
  const known = REQUESTS[name].keys.map((key) => key.replace('?', ''));
  const strange = Object.keys(object).filter((key) => !['v', 'id', 'do', ...known].includes(key));
  if (strange.length === 0) return;
  const keys = known.length === 0 ? 'no keys' : known.join(', ');
  throw new Malformed(`Unknown key ${quote(strange[0])}: ${quote(name)} has ${keys}`);
}

function needed<T>(key: string, value: T | undefined): T {
  if (value === undefined) throw new Malformed(`"${key}" is missing`);
  return value;
}

function present<K extends string, T>(key: K, value: T | undefined): { readonly [k in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [k in K]: T });
}

function readName(object: Fields, key: string): string | undefined {
  const value = object[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value === '' || value.length > LONGEST_NAME)
    throw new Malformed(`"${key}" must be the name of a door`);
  return value;
}

/** An address in its one spelling; with a length behind it, which only the keeper can judge. */
function readSource(object: Fields, toLetIn: boolean): string | undefined {
  const { source } = object;
  if (source === undefined) return undefined;
  const [, written = '', length = ''] = (typeof source === 'string' && SOURCE.exec(source)) || [];
  const address = parseAddress(written);
  if (!address || (length !== '' && Number(length.slice(1)) > (family(address) === 4 ? 32 : 128)))
    throw new Malformed(`Cannot read "source" ${quote(source)}: write an address such as "192.0.2.7"`);
  if (toLetIn && !isHost(address)) throw new Malformed(`"source" ${quote(source)} is not the address of a host`);
  if (toLetIn && isLoopback(address))
    throw new Malformed(`"source" ${quote(source)} is this machine itself, which passes every door`);
  return printAddress(address) + length;
}

function readFor(value: unknown, days = LONGEST_GRANT): number | undefined {
  if (value === undefined) return undefined;
  const duration = typeof value === 'string' ? readDuration(value) : undefined;
  if (duration === undefined) throw new Malformed(`Cannot read "for" ${quote(value)}: write a duration such as "30s"`);
  if (duration < SHORTEST_GRANT || duration > days * DAY) throw new Malformed(`"for" must be from 100ms to ${days}d`);
  return duration;
}

function readFilter<T extends EventType>(object: Fields, known: readonly T[]) {
  const source = readSource(object, false);
  return {
    ...present('door', readName(object, 'door')),
    ...present('sources', source === undefined ? undefined : [source]),
    ...present('types', readTypes(object.types, known)),
  };
}

function readTypes<T extends EventType>(value: unknown, known: readonly T[]): readonly T[] | undefined {
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.length === 0)
    throw new Malformed('"types" must be a list such as ["opened","closed"]');
  const strange = value.findIndex((type) => !known.includes(type));
  if (strange !== -1) throw new Malformed(`Unknown type ${quote(value[strange])}: there are ${known.join(', ')}`);
  return [...new Set(value as T[])];
}

/** A moment in ISO 8601, or how long ago. */
function readSince(value: unknown, wallNow: number): number | undefined {
  if (value === undefined) return undefined;
  const moment = typeof value === 'string' ? parseSince(value, wallNow) : undefined;
  if (moment === undefined)
    throw new Malformed(
      `Cannot read "since" ${quote(value)}: write "1h" for an hour ago, or a time such as "2030-01-31T12:00:00Z"`,
    );
  return moment;
}

const MOMENT = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/;

/** Milliseconds since 1970 of a moment in ISO 8601 (local time unless it names its zone), or of so long before `wallNow`. */
export function parseSince(text: string, wallNow: number): number | undefined {
  const ago = readDuration(text);
  if (ago !== undefined) return wallNow - ago;
  const [, day, time = '00:00', zone = ''] = MOMENT.exec(text) ?? [];
  const moment = day === undefined ? Number.NaN : Date.parse(`${day}T${time}${zone}`);
  return Number.isNaN(moment) ? undefined : moment;
}

function readLimit(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < 1 || (value as number) > MOST_LOGGED)
    throw new Malformed(`"limit" must be a whole number from 1 to ${MOST_LOGGED}`);
  return value as number;
}

/** What a client wrote, cut, for a message that goes back to it; JSON keeps terminals safe from it. */
function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}
