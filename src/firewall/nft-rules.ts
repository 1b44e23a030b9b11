/**
 * The guard as nftables text: one `nft -f` transaction that puts it in force, or replaces the one that stands. Pure and
 * deterministic; this text, never `nft list`, is what the guard is.
 *
 * - One table of our own, which drops early (prerouting at mangle: after conntrack, before every DNAT) and accepts nothing: no
 *   rule of ufw, firewalld, docker or iptables can let in what it drops, and published container ports are covered. (`accept` of the
 *   trusted ends our own chain, and no other.)
 * - Ports lead to their chain by named verdict maps, which a reload refills in the same transaction: anonymous ones, and a table
 *   deleted and made again, let packets through in between. Chains are named by port, so that a packet on its way through the
 *   old rules that meets a new map element finds a chain with rules in it. Ranges are rules, replaced together.
 * - Sets outlive reloads: `open4_DOOR` and `open6_DOOR` (grants; every element has a time of its own), `ban4` and `ban6`, `allow4` and
 *   `allow6`, `live4` and `live6` (sessions older than the guard). IPv6 is kept by network. What the guard no longer has is deleted by name.
 * - A guard that only observes has sets, and no rule that drops: it guards no port.
 * - Answers to connections that we (or who is behind us) have begun pass first, on any port and from banned sources too: a ban is for what its
 *   source begins, and anybody can have our own resolver banned by packets in its name. ICMP errors about such connections are answers.
 * - `cut` and `kill` doors are asked before `ct state established`, for the client's direction only.
 * - What is refused, and seen by no capture, is written down: `nft-tried.ts`.
 * - A tarpit is in `nft-tarpit.ts`: chains of its own, and one way out of the ban.
 * - Resets over IPv6 are labelled on their way out, as the kernel's own are: `flow-labels.ts`.
 * - Faces: what is refused ends in one chain for each protocol, which answers as `closed-port.ts` says. `mirror` hands new TCP connections to
 *   port 1 instead, where nobody listens, so that the host answers by itself. Not UDP: a redirected flow stays redirected after a knock.
 */

import { type Address, type Family, family, printAddress } from '../core/address.ts';
import { networkOf, printPrefix, widestPrefixes } from '../core/policy.ts';
import { nftStatement } from './answers.ts';
import { answersOf, type TcpAnswer, tcpAnswers } from './closed-port.ts';
import { FirewallError, type Guard } from './driver.ts';
import { labelRule } from './flow-labels.ts';
import { pitChains, releasedToPit } from './nft-tarpit.ts';
import { trapRules, triedRules, triedSetText } from './nft-tried.ts';
import { guardedSegments, type PortSegment } from './port-segments.ts';

export const TABLE = 'postern';

/** Grants at the same time, of one door and family, at most; bans of one family. Memory is taken by what is in them. */
export const SET_SIZE = 131_072;
export const LIVE_SIZE = 131_072;

/** As long as conntrack itself remembers an idle session (nf_conntrack_tcp_timeout_established). */
const LIVE_TIMEOUT = '5d';

const FAMILIES: readonly Family[] = [4, 6];

const ANSWERED: Readonly<Record<TcpAnswer['to'], string>> = {
  established: 'ct state established ',
  invalid: 'ct state invalid ',
  midstream: 'tcp flags & (fin | syn | rst | ack) != syn ',
  'not new': 'ct state != new ',
  any: '',
};

/** A TCP session from outside that was there before the guard: who, and the port that it came for (before any DNAT). */
export interface LiveSession {
  readonly source: Address;
  readonly sourcePort: number;
  readonly port: number;
}

/** What a standing guard has in the kernel, by name. */
export interface StandingNames {
  readonly chains: readonly string[];
  readonly sets: readonly string[];
}

export const NOTHING_STANDS: StandingNames = { chains: [], sets: [] };

export function openSet(door: string, version: Family): string {
  return `open${version}_${door}`;
}

export function banSet(version: Family): string {
  return `ban${version}`;
}

export function allowSet(version: Family): string {
  return `allow${version}`;
}

export function liveSet(version: Family): string {
  return `live${version}`;
}

/** The door and family that a set's name says it holds grants of; undefined for other sets. */
export function doorOfSet(set: string): { readonly door: string; readonly version: Family } | undefined {
  const [, version, door] = /^open([46])_(.+)$/s.exec(set) ?? [];
  if (version === undefined || door === undefined) return undefined;
  return { door, version: version === '4' ? 4 : 6 };
}

/** The verdict maps that lead from a port to its chain: their elements are part of the guard. */
export const PORT_MAPS: readonly string[] = FAMILIES.flatMap((version) =>
  ['ports', 'cut'].flatMap((kind) => ['tcp', 'udp'].map((protocol) => `${kind}_${protocol}${version}`)),
);

/** Is the port already guarded, by the chains that stand? */
export function guardedPorts(standing: StandingNames): (protocol: string, port: number) => boolean {
  const segments = standing.chains.flatMap((chain) => {
    const [, protocol, first, last = first] = /^(tcp|udp)4_(\d+)(?:_(\d+))?$/.exec(chain) ?? [];
    return protocol === undefined ? [] : [{ protocol, first: Number(first), last: Number(last) }];
  });
  return (protocol, port) =>
    segments.some((segment) => segment.protocol === protocol && segment.first <= port && port <= segment.last);
}

/**
 * The transaction. `live` are sessions to let go on, of ports that are guarded for the first time. Throws a `FirewallError` for
 * a guard that can not be written: a door name that is no set name, a prefix that is none.
 */
export function guardRules(
  guard: Guard,
  live: readonly LiveSession[] = [],
  standing: StandingNames = NOTHING_STANDS,
): string {
  checkGuard(guard);
  const segments = guardedSegments(guard);
  const chains = [
    trustedChain(guard),
    chain('banned', ['jump trusted', ...releasedToPit(guard), 'drop']),
    ...closedChains(guard),
    ...FAMILIES.flatMap((version) => segments.map((segment) => segmentChain(segment, version, guard.ipv6Prefix))),
    ...FAMILIES.flatMap((version) => [
      dispatchChain('cut', version, segments.filter(isCut)),
      dispatchChain('ports', version, segments, guard.traps),
    ]),
    baseChain(guard, segments),
    ...(guard.face === 'mirror' && !guard.observe ? mirrorChains(segments, guard.ipv6Prefix) : []),
    ...labelChains(guard, segments),
    ...pitChains(
      guard,
      FAMILIES.map((version) => bannedSource(version, guard.ipv6Prefix)),
    ),
  ];
  const sets = [
    ...FAMILIES.flatMap((version) => [
      set(banSet(version), addressType(version), 'dynamic,timeout', SET_SIZE),
      set(allowSet(version), addressType(version), 'dynamic,timeout', SET_SIZE),
      liveSetText(version, live),
      triedSetText(version),
    ]),
    ...guard.doors.flatMap((door) =>
      FAMILIES.map((version) => set(openSet(door.name, version), addressType(version), 'dynamic,timeout', SET_SIZE)),
    ),
  ];
  return [
    `table inet ${TABLE} {`,
    ...PORT_MAPS.map((name) => `  map ${name} { type inet_service : verdict; }`),
    '}',
    `flush table inet ${TABLE}`,
    ...PORT_MAPS.map((name) => `flush map inet ${TABLE} ${name}`),
    `table inet ${TABLE} {`,
    ...sets.map(({ text }) => text),
    ...chains.map(({ name, head, rules }) => block(`  chain ${name} {`, [...head, ...rules])),
    ...FAMILIES.flatMap((version) =>
      (['tcp', 'udp'] as const).flatMap((protocol) => [
        portMap('ports', protocol, version, segments),
        portMap('cut', protocol, version, segments.filter(isCut)),
      ]),
    ),
    '}',
    ...gone(standing.chains, chains).map((name) => `delete chain inet ${TABLE} ${name}`),
    ...gone(standing.sets, [...sets, ...PORT_MAPS.map((name) => ({ name }))]).map(
      (name) => `delete set inet ${TABLE} ${name}`,
    ),
    '',
  ].join('\n');
}

/** Takes everything away; no error when there is nothing. */
export const NO_RULES = `table inet ${TABLE} { }\ndelete table inet ${TABLE}\n`;

export interface Chain {
  readonly name: string;
  readonly head: readonly string[];
  readonly rules: readonly string[];
}

/** Throws a `FirewallError` for a guard that no driver can put in force. */
export function checkGuard(guard: Guard): void {
  const names = new Set<string>();
  for (const { name } of guard.doors) {
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,31}$/.test(name)) {
      throw new FirewallError(
        `Cannot guard door "${name}": the name must be a letter and up to 31 of letters, digits, "_" and "-"`,
      );
    }
    if (names.has(name)) throw new FirewallError(`Cannot guard door "${name}": there are two of that name`);
    names.add(name);
  }
  if (!(Number.isInteger(guard.ipv6Prefix) && guard.ipv6Prefix >= 1 && guard.ipv6Prefix <= 128)) {
    throw new FirewallError(`Cannot keep IPv6 sources by ${guard.ipv6Prefix} bits: must be 1-128`);
  }
  for (const { first, last } of guard.doors.flatMap((door) => door.protect)) {
    if (![first, last].every((port) => Number.isInteger(port) && port >= 1 && port <= 65_535) || first > last) {
      throw new FirewallError(`Cannot guard ports ${first}-${last}: must be 1-65535, the lower first`);
    }
  }
}

/**
 * Comes before the ban: what we have begun ourselves is answered by whom we asked, though packets in his name have banned him. A packet that
 * conntrack does not know has no direction, and is judged as one that begins something.
 */
const ANSWERS = 'ct direction reply return';

/** What a refused packet meets: one chain for each protocol. */
function closedChains(guard: Guard): Chain[] {
  const udp = { 4: answersOf(guard, 4).udp, 6: answersOf(guard, 6).udp };
  return [
    chain('closed_tcp', [...triedRules('tcp'), ...tcpAnswers(guard).flatMap(answerRules)]),
    chain('closed_udp', [...triedRules('udp'), ...answerRules({ to: 'any', answer: udp })]),
  ];
}

/** One rule where both families are answered alike, else one for each. */
function answerRules({ to, answer }: TcpAnswer): string[] {
  const statements = FAMILIES.map((version) => nftStatement(answer[version], version));
  if (statements[0] === statements[1]) return [`${ANSWERED[to]}${statements[0]}`];
  return FAMILIES.map((version, at) => `meta nfproto ipv${version} ${ANSWERED[to]}${statements[at]}`);
}

/**
 * Sends what is refused to port 1, before any other DNAT. It asks the sets itself: a mark set at the first hook could be cleared by
 * somebody else's rules on the way (CONNMARK --restore-mark does), and would then have let the packet in.
 */
function mirrorChains(segments: readonly PortSegment[], ipv6Prefix: number): Chain[] {
  const mirrored = FAMILIES.flatMap((version) =>
    segments
      .filter(({ protocol }) => protocol === 'tcp')
      .map((segment) => ({
        name: `mirror_${segmentName(segment, version)}`,
        match: `meta nfproto ipv${version} tcp dport ${portsText(segment)}`,
        rules: [...admitted(segment, version, ipv6Prefix), FORWARDED, 'meta l4proto tcp redirect to :1'],
      })),
  );
  return [
    ...mirrored.map(({ name, rules }) => chain(name, rules)),
    {
      name: 'mirror',
      head: ['type nat hook prerouting priority -101; policy accept;'],
      rules: ['iif "lo" return', 'jump trusted', ...mirrored.map(({ name, match }) => `${match} goto ${name}`)],
    },
  ];
}

/** Resets that `closed_tcp` sends over IPv6, where the kernel of this host would have sent them. */
function labelChains(guard: Guard, segments: readonly PortSegment[]): Chain[] {
  const ports = segments.filter(({ protocol }) => protocol === 'tcp').map(portsText);
  if (!guard.labels || !answersOf(guard, 6).own || ports.length === 0) return [];
  const head = ['type filter hook output priority mangle; policy accept;'];
  return [{ name: 'labels', head, rules: [labelRule(guard.labels, ports)] }];
}

/** The rules that let pass who has a grant, or a session older than the guard. */
function admitted(segment: PortSegment, version: Family, ipv6Prefix: number): string[] {
  const key = sourceKey(version, ipv6Prefix);
  if (segment.doors.length === 0) return [];
  const rules = segment.doors.map((door) => `${key} @${openSet(door, version)} return`);
  if (segment.protocol === 'tcp') {
    const session = `${sourceKey(version, 128)} . tcp sport . tcp dport`;
    rules.push(`tcp flags & (syn | ack) == ack ${session} @${liveSet(version)} return`);
  }
  return rules;
}

/**
 * The port of another machine, which this one only routes to: not ours to close. Asked twice, because an address of an interface in a VRF is local
 * only as seen from there, and one of another interface only from everywhere. What is led on by DNAT still has our address here.
 */
const FORWARDED = 'fib daddr type unicast fib daddr . iif type unicast return';

function segmentChain(segment: PortSegment, version: Family, ipv6Prefix: number): Chain {
  const rules = [...admitted(segment, version, ipv6Prefix), FORWARDED];
  // Whatever the face: a session that may go on after the next knock must not hear of its end, one that may not has to.
  const end = segment.close === 'kill' && segment.protocol === 'tcp' ? 'reject with tcp reset' : 'drop';
  if (isCut(segment)) rules.push(`ct state established ${end}`);
  return chain(segmentName(segment, version), [...rules, `goto closed_${segment.protocol}`]);
}

function isCut({ close }: PortSegment): boolean {
  return close !== 'keep';
}

function portsText({ first, last }: PortSegment): string {
  return first === last ? String(first) : `${first}-${last}`;
}

function dispatchChain(
  kind: 'ports' | 'cut',
  version: Family,
  segments: readonly PortSegment[],
  traps: Guard['traps'] = [],
): Chain {
  const rules = (['tcp', 'udp'] as const).flatMap((protocol) => {
    const mine = segments.filter((segment) => segment.protocol === protocol);
    const ranges = mine.filter(({ first, last }) => first !== last);
    return [
      ...(mine.length > ranges.length ? [`${protocol} dport vmap @${mapName(kind, protocol, version)}`] : []),
      ...ranges.map((range) => `${protocol} dport ${portsText(range)} goto ${segmentName(range, version)}`),
    ];
  });
  return chain(`${kind}${version}`, ['jump trusted', ...trapRules(version, traps), ...rules]);
}

function baseChain(guard: Guard, segments: readonly PortSegment[]): Chain {
  const cut = segments.some(isCut);
  const rules = [
    ...FAMILIES.map((version) => `${bannedSource(version, guard.ipv6Prefix)} goto banned`),
    ...(cut ? FAMILIES.map((version) => `ct direction original meta nfproto ipv${version} jump cut${version}`) : []),
    'ct state established,related return',
    ...FAMILIES.map((version) => `meta nfproto ipv${version} goto ports${version}`),
  ];
  return {
    name: 'prerouting',
    head: ['type filter hook prerouting priority mangle; policy accept;'],
    rules: ['iif "lo" return', ...(guard.observe ? [] : [ANSWERS, ...rules])],
  };
}

/** Whom every door is open for: by configuration, and for a while. Packets of sessions that are let go on never come here. */
function trustedChain({ trusted, ipv6Prefix }: Guard): Chain {
  const rules = FAMILIES.flatMap((version) => {
    const blocks = widestPrefixes(trusted).filter(({ address }) => family(address) === version);
    const field = version === 4 ? 'ip saddr' : 'ip6 saddr';
    return [
      ...(blocks.length > 0 ? [`${field} { ${blocks.map(printPrefix).sort().join(', ')} } accept`] : []),
      `${sourceKey(version, ipv6Prefix)} @${allowSet(version)} accept`,
    ];
  });
  return chain('trusted', rules);
}

function portMap(kind: 'ports' | 'cut', protocol: string, version: Family, segments: readonly PortSegment[]): string {
  const single = segments.filter((segment) => segment.protocol === protocol && segment.first === segment.last);
  const elements = single.map((segment) => `${segment.first} : goto ${segmentName(segment, version)}`);
  return `  map ${mapName(kind, protocol, version)} { type inet_service : verdict; ${elementsText(elements)}}`;
}

function liveSetText(version: Family, live: readonly LiveSession[]): { readonly name: string; readonly text: string } {
  const sessions = live
    .filter(({ source }) => family(source) === version)
    .map(({ source, sourcePort, port }) => `${printAddress(source)} . ${sourcePort} . ${port}`);
  const elements = [...new Set(sessions)].sort().map((session) => `${session} timeout ${LIVE_TIMEOUT}`);
  const type = `${addressType(version)} . inet_service . inet_service`;
  return set(liveSet(version), type, 'timeout', LIVE_SIZE, elements);
}

function set(name: string, type: string, flags: string, size: number, elements: readonly string[] = []) {
  return { name, text: `  set ${name} { type ${type}; flags ${flags}; size ${size}; ${elementsText(elements)}}` };
}

function elementsText(elements: readonly string[]): string {
  return elements.length === 0 ? '' : `elements = { ${elements.join(', ')} }; `;
}

function chain(name: string, rules: readonly string[]): Chain {
  return { name, head: [], rules };
}

function block(head: string, lines: readonly string[]): string {
  return [head, ...lines.map((line) => `    ${line}`), '  }'].join('\n');
}

function gone(standing: readonly string[], wanted: readonly { readonly name: string }[]): string[] {
  const names = new Set(wanted.map(({ name }) => name));
  return standing.filter((name) => !names.has(name)).sort();
}

function mapName(kind: 'ports' | 'cut', protocol: string, version: Family): string {
  return `${kind}_${protocol}${version}`;
}

function segmentName({ protocol, first, last }: PortSegment, version: Family): string {
  return first === last ? `${protocol}${version}_${first}` : `${protocol}${version}_${first}_${last}`;
}

function bannedSource(version: Family, ipv6Prefix: number): string {
  return `${sourceKey(version, ipv6Prefix)} @${banSet(version)}`;
}

function addressType(version: Family): string {
  return `ipv${version}_addr`;
}

function sourceKey(version: Family, ipv6Prefix: number): string {
  if (version === 4) return 'ip saddr';
  if (ipv6Prefix === 128) return 'ip6 saddr';
  return `ip6 saddr & ${printAddress(networkOf({ a: -1, b: -1, c: -1, d: -1 }, ipv6Prefix))}`;
}
