/**
 * The guard as rules for pf's anchor `postern` (pf.conf(5) of OpenBSD and FreeBSD), and what `pfctl` lists.
 *
 * - The anchor has to be named in pf.conf, before rules with `quick`: `anchor "postern"`. Its own rules are `quick`, so that they are final
 *   both ways: a granted source is let in by them.
 * - A private table for each door, IPv4 and IPv6 in one. Their names have at most 31 characters: the end of a longer one is a digest.
 * - pf keeps states, and packets of a session that has one never come to the rules: so answers to our own connections pass a ban, where a rule
 *   of pf.conf keeps state of them. `keep` doors refuse only what begins a session, so that
 *   not even those without a state are touched; `cut` and `kill` doors refuse all but the sources in `<live>`.
 */

import { createHash } from 'node:crypto';
import { type Address, parseAddress } from '../core/address.ts';
import { contains, type PortRange, type Prefix, printPrefix, widestPrefixes } from '../core/policy.ts';
import { refuses } from './closed-port.ts';
import type { Guard } from './driver.ts';
import { type PortSegment, portSegments } from './port-segments.ts';

export const ANCHOR = 'postern';
export const BANS = 'ban';
export const LIVE = 'live';
export const ALLOWED = 'allow';
/** Whom the configuration trusts: part of the rules. */
export const TRUSTED = 'trusted';

/** Leads nowhere: that a rule is there says that the guard is. */
const OBSERVED = 'anchor "observed"';

const DOOR = 'door-';
const NAME_LIMIT = 31;
const DIGEST_LENGTH = 8;

export function doorTable(door: string): string {
  const name = DOOR + door;
  if (name.length <= NAME_LIMIT) return name;
  const digest = createHash('sha256').update(door).digest('hex').slice(0, DIGEST_LENGTH);
  return `${name.slice(0, NAME_LIMIT - DIGEST_LENGTH - 1)}.${digest}`;
}

/** The text for `pfctl -a postern -f -`. */
export function anchorRules(guard: Guard): string {
  const tables = [BANS, LIVE, ALLOWED, ...guard.doors.map(({ name }) => doorTable(name))];
  const trusted = widestPrefixes(guard.trusted).map(printPrefix).sort();
  const segments = portSegments(guard.doors);
  return [
    ...tables.map((table) => `table <${table}> persist`),
    ...(trusted.length > 0 ? [`table <${TRUSTED}> persist { ${trusted.join(' ')} }`] : []),
    ...(guard.observe
      ? [OBSERVED]
      : [
          ...segments.flatMap((segment) => passRules(segment, trusted.length > 0 ? [ALLOWED, TRUSTED] : [ALLOWED])),
          `block drop in quick on ! lo0 from <${BANS}>`,
          ...segments.flatMap((segment) => segmentRules(segment, guard)),
        ]),
    '',
  ].join('\n');
}

function passRules({ protocol, close, ...ports }: PortSegment, tables: readonly string[]): string[] {
  // A session that was cut goes on in the middle, at the next knock.
  const cut = close === 'cut' ? 'flags any keep state (sloppy)' : 'flags S/SA keep state';
  const state = protocol === 'tcp' ? cut : 'keep state';
  return tables.map((table) => `pass in quick on ! lo0 proto ${protocol} from <${table}> ${toPorts(ports)} ${state}`);
}

function toPorts({ first, last }: Pick<PortSegment, 'first' | 'last'>): string {
  return `to any port ${first === last ? first : `${first}:${last}`}`;
}

function segmentRules(segment: PortSegment, guard: Guard): string[] {
  const { protocol, doors, close } = segment;
  const to = toPorts(segment);
  const tcp = protocol === 'tcp';
  const answer = refuses(guard, protocol) ? 'return' : 'drop';
  return [
    ...passRules(segment, doors.map(doorTable)),
    ...(tcp && close !== 'keep' ? [`pass in quick on ! lo0 proto tcp from <${LIVE}> ${to} flags /S no state`] : []),
    `block ${answer} in quick on ! lo0 proto ${protocol} from any ${to}${tcp && close === 'keep' ? ' flags S/SA' : ''}`,
  ];
}

/** What `pfctl -t TABLE -T show` prints: an address or a network a line. */
export function parseTable(text: string): Address[] {
  return text.split('\n').flatMap((line) => {
    const address = parseAddress(line.trim().replace(/\/\d{1,3}$/, ''));
    return address === undefined ? [] : [address];
  });
}

/** Does `pfctl -s rules` lead to our anchor? And is a `quick` rule before it, which may decide first? */
export function parseAnchor(text: string): 'missing' | 'first' | 'behind quick' {
  const rules = text.split('\n');
  const at = rules.findIndex((rule) => /^anchor "postern"(?: |$)/.test(rule));
  if (at < 0) return 'missing';
  return rules.slice(0, at).some((rule) => / quick /.test(rule)) ? 'behind quick' : 'first';
}

/** The states of sessions from a source to these ports, as `pfctl -vv -s states` lists them: what `pfctl -k id -k …` takes. */
export function statesOf(text: string, source: Prefix, ports: readonly PortRange[]): string[] {
  const ids: string[] = [];
  let mine = false;
  for (const line of text.split('\n')) {
    const entry = /^\S+ (tcp|udp) (\S+)(?: \(\S+\))? <- (\S+)/.exec(line);
    if (/^\S/.test(line)) {
      const [here, there] = [parseEnd(entry?.[2] ?? ''), parseEnd(entry?.[3] ?? '')];
      // Behind a redirection, the second address is the one that the client came for.
      const asked = parseEnd(/ \((\S+)\) <-/.exec(line)?.[1] ?? '') ?? here;
      mine =
        there !== undefined &&
        contains(source, there.address) &&
        [here, asked].some((end) => end !== undefined && ports.some((range) => isIn(range, entry?.[1], end.port)));
      continue;
    }
    const [, id, creator] = /^\s+id: ([0-9a-f]+) creatorid: ([0-9a-f]+)/.exec(line) ?? [];
    if (mine && id !== undefined) ids.push(`${id}/${creator}`);
  }
  return ids;
}

function isIn({ protocol, first, last }: PortRange, of: string | undefined, port: number): boolean {
  return protocol === of && first <= port && port <= last;
}

/** `192.0.2.1:22`, `2001:db8::1[22]`. */
function parseEnd(text: string): { readonly address: Address; readonly port: number } | undefined {
  const [, four, fourPort, six, sixPort] = /^(?:([0-9.]+):(\d{1,5})|([0-9a-fA-F:.]+)\[(\d{1,5})\])$/.exec(text) ?? [];
  const address = parseAddress(four ?? six ?? '');
  return address === undefined ? undefined : { address, port: Number(fourPort ?? sixPort) };
}
