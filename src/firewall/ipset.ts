/**
 * The sets of the iptables driver as ipset's own text (ipset(8)): their names, what makes them, what is in them.
 *
 * - A door has `postern4-DOOR` and `postern6-DOOR`; ipset allows 31 characters, so that the end of a longer name is a digest. IPv6 sets
 *   mask what is put in and looked up to the configured prefix by themselves.
 * - `postern-live4` and `-live6` hold sessions older than the guard, by the client's address and port; the comment is the port they
 *   came for, since no type of set has two ports.
 * - An element's time is in whole seconds, at most 24 days; 0, which only an administrator writes, is for ever.
 */

import { createHash } from 'node:crypto';
import { type Address, type Family, parseAddress, printAddress } from '../core/address.ts';
import type { Try } from './driver.ts';
import { commentText } from './nfnetlink.ts';
import { TRIED_FOR, TRIED_SIZE } from './nft-tried.ts';

export const SETS = 'postern';
/** Elements of one set, at most; memory is taken by what is in it. */
export const SET_SIZE = 131_072;
/** Milliseconds; the kernel keeps them in 32 bits. */
export const LONGEST = 2_147_483_000;
/** Where a set with another prefix is made before it takes the old one's place. */
export const SWAP_SET = `${SETS}-swap`;

const NAME_LIMIT = 31;
const DIGEST_LENGTH = 8;

export interface SetElement {
  readonly set: string;
  readonly source: Address;
  /** Of a session's element. */
  readonly port?: number;
  readonly remaining: number;
  readonly comment: string;
}

export interface SetHeader {
  readonly name: string;
  /** Bits that an element is masked to. */
  readonly netmask: number;
}

export function openSetName(door: string, version: Family): string {
  const head = `${SETS}${version}-`;
  if (head.length + door.length <= NAME_LIMIT) return head + door;
  const digest = createHash('sha256').update(door).digest('hex').slice(0, DIGEST_LENGTH);
  return `${head}${door.slice(0, NAME_LIMIT - head.length - DIGEST_LENGTH - 1)}.${digest}`;
}

/** The door of a set, and its family; long names are only known if they are among `doors`. */
export function doorOfSetName(
  set: string,
  doors: readonly string[],
): { readonly door: string; readonly version: Family } | undefined {
  const [, digit, rest = ''] = /^postern([46])-(.+)$/s.exec(set) ?? [];
  if (digit === undefined) return undefined;
  const version = digit === '4' ? 4 : 6;
  const door = rest.includes('.') ? doors.find((name) => openSetName(name, version) === set) : rest;
  return door === undefined ? undefined : { door, version };
}

export function banSetName(version: Family): string {
  return `${SETS}-ban${version}`;
}

export function allowSetName(version: Family): string {
  return `${SETS}-allow${version}`;
}

export function liveSetName(version: Family): string {
  return `${SETS}-live${version}`;
}

/** What was tried in vain, for a minute: `nft-tried.ts` says what and why. */
export function triedSetName(version: Family): string {
  return `${SETS}-tried${version}`;
}

/** Of our sets: not one of sessions, or of tries. */
export function holdsSources(name: string): boolean {
  return !/^postern-(?:live|tried)[46]$/.test(name);
}

export function isOurSet(name: string): boolean {
  return /^postern[46]?-/.test(name);
}

/** The line that makes a set of sources; no error where it stands. */
export function createSources(name: string, version: Family, prefix: number): string {
  const netmask = version === 6 && prefix !== 128 ? ` netmask ${prefix}` : '';
  return `create ${name} hash:ip family ${familyName(version)}${netmask} timeout 0 comment maxelem ${SET_SIZE}`;
}

export function createSessions(name: string, version: Family): string {
  return `create ${name} hash:ip,port family ${familyName(version)} timeout 0 comment maxelem ${SET_SIZE}`;
}

/** The kernel adds to it; one that is full forgets some other try. */
export function createTries(name: string, version: Family): string {
  const bounds = `timeout ${TRIED_FOR / 1000} maxelem ${TRIED_SIZE} forceadd`;
  return `create ${name} hash:ip,port family ${familyName(version)} ${bounds}`;
}

/** What `ipset save` prints of tries. */
export function parseTries(text: string): Try[] {
  return [...text.matchAll(/^(?:ipset> )*add \S+ ([0-9a-fA-F.:]+),(tcp|udp):(\d+) timeout (\d+)/gm)].flatMap(
    (match) => {
      const source = parseAddress(match[1]!);
      if (source === undefined) return [];
      const protocol = match[2] === 'tcp' ? 'tcp' : 'udp';
      return [{ source, protocol, port: Number(match[3]), remaining: Number(match[4]) * 1000 } as const];
    },
  );
}

/** The line that puts a source in, or begins its time anew. Rounds up to whole seconds. */
export function addSource(set: string, source: Address, remaining: number, comment: string): string {
  const words = commentText(comment);
  const tail = words === '' ? '' : ` comment "${words}"`;
  return `add ${set} ${printAddress(source)} timeout ${Math.ceil(Math.min(remaining, LONGEST) / 1000)}${tail}`;
}

/** The line that lets a session go on. */
export function addSession(
  set: string,
  { source, sourcePort, port }: { readonly source: Address; readonly sourcePort: number; readonly port: number },
  remaining: number,
): string {
  const seconds = Math.ceil(remaining / 1000);
  return `add ${set} ${printAddress(source)},tcp:${sourcePort} timeout ${seconds} comment "${port}"`;
}

/** What `ipset save` prints of elements; other lines and prompts of `ipset -` are passed over. */
export function parseElements(text: string): SetElement[] {
  return text.split('\n').flatMap((line): SetElement[] => {
    const match =
      /^(?:ipset> )*add (\S+) ([0-9a-fA-F.:]+)(?:,tcp:(\d+))?((?: [a-z]+ \d+)*)(?: comment "([^"]*)")?\s*$/.exec(line);
    const source = parseAddress(match?.[2] ?? '');
    if (!match || source === undefined) return [];
    const [, set = '', , port, options = '', comment = ''] = match;
    const seconds = Number(/ timeout (\d+)/.exec(options)?.[1] ?? 0);
    const remaining = seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1000;
    return [{ set, source, ...(port !== undefined && { port: Number(port) }), remaining, comment }];
  });
}

/** The sets whose elements `ipset save` has printed. */
export function parseSavedSets(text: string): string[] {
  return [...text.matchAll(/^(?:ipset> )*create (\S+) /gm)].map((match) => match[1]!);
}

/** What `ipset list -terse` prints. */
export function parseHeaders(text: string): SetHeader[] {
  return text.split(/\n(?=Name: )/).flatMap((block): SetHeader[] => {
    const name = /^Name: (\S+)$/m.exec(block)?.[1];
    const header = /^Header: (.*)$/m.exec(block)?.[1];
    if (name === undefined || header === undefined) return [];
    const widest = / ?family inet6/.test(header) ? 128 : 32;
    return [{ name, netmask: Number(/ netmask (\d+)/.exec(header)?.[1] ?? widest) }];
  });
}

function familyName(version: Family): string {
  return version === 4 ? 'inet' : 'inet6';
}
