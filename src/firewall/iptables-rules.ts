/**
 * The guard as text for `iptables-restore --noflush`, one family at a time. Pure and deterministic; the same for both backends.
 *
 * - A chain of ours is the first rule of mangle PREROUTING: after conntrack, before every DNAT and every filter. It drops, and lets go
 *   on; it never accepts what it guards. Each table's part is one commit, which the kernel takes as a whole: chains are emptied
 *   and filled again in it, so that a reload has no moment without rules.
 * - Answers to connections that we (or who is behind us) have begun pass first, on any port and from banned sources too: a ban is for what its
 *   source begins, and anybody can have our own resolver banned by packets in its name. ICMP errors about such connections are answers.
 * - mangle can not refuse, only drop. What is to be answered (all faces but `drop`, sessions of `kill` doors) leaves mangle at once with a mark,
 *   past everybody else's mangle rules; the first rules of filter answer it, nat leads it to port 1, and a drop in the security
 *   table, which comes after filter, stops what a foreign rule before ours has accepted: marked packets never reach anybody.
 * - With a tarpit mangle lets go of what banned sources begin over TCP with this host, and of what nat has led to the tarpit's port; nat leads it
 *   there before all other rules, and FORWARD drops what an older connection of theirs would have led elsewhere at the same port.
 */

import { type Family, family } from '../core/address.ts';
import { printPrefix, widestPrefixes } from '../core/policy.ts';
import { iptablesTarget } from './answers.ts';
import { answersOf, isSilent, type TcpAnswer, tcpAnswers } from './closed-port.ts';
import type { Guard } from './driver.ts';
import { allowSetName, banSetName, liveSetName, openSetName, triedSetName } from './ipset.ts';
import { guardedSegments, type PortSegment } from './port-segments.ts';

const CHAIN = 'POSTERN';
const MARK = '0x20000000/0x20000000';
/** What becomes of banned sources where there is a tarpit, in mangle, nat and filter. */
const PIT = `${CHAIN}-pit`;
const LOCAL = '-m addrtype --dst-type LOCAL';
const REMOTE = '-m addrtype ! --dst-type LOCAL';

/**
 * Comes before the ban, and before what is left of it in filter: answers to what we have begun. A packet that conntrack does not know has no
 * direction, and is judged as one that begins something.
 */
const ANSWERS = '-m conntrack --ctdir REPLY -j RETURN';

/** The hooks where our chain comes first, by table; the order in which parts are put in force. */
const HOOKS: Readonly<Record<string, readonly string[]>> = {
  security: ['INPUT', 'FORWARD'],
  filter: ['INPUT', 'FORWARD'],
  nat: ['PREROUTING'],
  mangle: ['PREROUTING'],
};

const ANSWERED: Readonly<Record<TcpAnswer['to'], string>> = {
  established: '-m conntrack --ctstate ESTABLISHED ',
  invalid: '-m conntrack --ctstate INVALID ',
  midstream: '-m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN ',
  'not new': '',
  any: '',
};

/** What stands of ours in one table. */
export interface StandingTable {
  readonly table: string;
  readonly chains: readonly string[];
  /** Rules of other chains that lead to ours, as `iptables-save` prints them. */
  readonly jumps: readonly string[];
  /** All hooks lead to our chain by their first rule and no other. */
  readonly hooked: boolean;
  /** Everything above as text, to be compared. */
  readonly lines: readonly string[];
}

/** Reads `iptables-save`; tables without anything of ours are left out. */
export function parseStanding(save: string): StandingTable[] {
  const tables: StandingTable[] = [];
  for (const part of save.split(/^(?=\*)/m)) {
    const table = /^\*(\S+)/.exec(part)?.[1];
    const hooks = HOOKS[table ?? ''];
    if (table === undefined || hooks === undefined) continue;
    const lines = part.split('\n');
    const chains = lines.flatMap((line) => /^:(POSTERN(?:-\S+)?) /.exec(line)?.[1] ?? []);
    const rules = lines.filter((line) => line.startsWith('-A '));
    const ours = rules.filter((line) => /^-A POSTERN(?:-\S+)? /.test(line));
    const jumps = rules.filter((line) => !ours.includes(line) && leadsToUs(line));
    const hooked = hooks.every((hook) => {
      const inHook = rules.filter((line) => line.startsWith(`-A ${hook} `));
      return inHook[0] === jump(hook) && inHook.filter(leadsToUs).length === 1;
    });
    if (chains.length === 0 && jumps.length === 0) continue;
    tables.push({ table, chains, jumps, hooked, lines: [`*${table} ${hooked}`, ...chains, ...ours, ...jumps] });
  }
  return tables;
}

/** `iptables-save` as it would be without us: what the host itself does. */
export function withoutGuard(save: string): string {
  const ours = (line: string): boolean =>
    /^(?::|-A )POSTERN(?:-\S+)? /.test(line) || (line.startsWith('-A ') && leadsToUs(line));
  return save
    .split('\n')
    .filter((line) => !ours(line))
    .join('\n');
}

/** The TCP ports that are guarded already, by what stands. */
export function guardedPorts(standing: readonly StandingTable[]): { readonly first: number; readonly last: number }[] {
  const mangle = standing.find(({ table }) => table === 'mangle');
  if (!mangle?.hooked) return [];
  return mangle.chains.flatMap((chain) => {
    const [, first, last = first] = /^POSTERN-tcp-(\d+)(?:-(\d+))?$/.exec(chain) ?? [];
    return first === undefined ? [] : [{ first: Number(first), last: Number(last) }];
  });
}

/** Does the guard need more than mangle, to answer what it refuses? */
export function answers(guard: Guard): boolean {
  return !isSilent(guard, 'tcp') || !isSilent(guard, 'udp') || guard.doors.some(({ close }) => close === 'kill');
}

/** The text that puts the guard in force instead of what stands. `answer`: false where refused packets can only be dropped. */
export function guardText(
  guard: Guard,
  version: Family,
  standing: readonly StandingTable[],
  answer: boolean = answers(guard),
): string {
  const parts = new Map<string, Chains>();
  const pit = guard.observe ? undefined : guard.tarpit;
  const ledToPit = pit === undefined ? [] : [`-m set --match-set ${banSetName(version)} src -j ${PIT}`];
  if (answer) parts.set('security', { [CHAIN]: [...marked(guard), '-j DROP'] });
  if (answer || pit !== undefined) {
    parts.set('filter', {
      [CHAIN]: [...ledToPit, ...(answer ? [...marked(guard), ...refusals(guard, version)] : [])],
      ...(pit !== undefined && { [PIT]: [ANSWERS, ...trusted(guard, version), `${REMOTE} -j DROP`] }),
    });
  }
  const mirrored = answer && guard.face === 'mirror';
  if (mirrored || pit !== undefined) {
    parts.set('nat', {
      [CHAIN]: [...ledToPit, ...(mirrored ? [`-p tcp -m mark --mark ${MARK} -j REDIRECT --to-ports 1`] : [])],
      ...(pit !== undefined && {
        [PIT]: [...trusted(guard, version), `-p tcp ${LOCAL} -j REDIRECT --to-ports ${pit}`],
      }),
    });
  }
  parts.set('mangle', mangleChains(guard, version, answer));
  const wanted = [...parts].map(([table, chains]) => tableText(table, chains, standingIn(standing, table)));
  const unwanted = standing.filter(({ table }) => !parts.has(table));
  return [...wanted, ...unwanted.map(removal)].join('');
}

/** The text that takes away what stands; empty when there is nothing. mangle goes first: nothing is marked any more. */
export function removalText(standing: readonly StandingTable[]): string {
  const isMangle = ({ table }: StandingTable): boolean => table === 'mangle';
  return [...standing.filter(isMangle), ...standing.filter((table) => !isMangle(table))].map(removal).join('');
}

/** Rules without `-A CHAIN`, by chain. */
type Chains = Readonly<Record<string, readonly string[]>>;

function mangleChains(guard: Guard, version: Family, answer: boolean): Chains {
  const segments = guardedSegments(guard);
  const cut = segments.filter(({ close }) => close !== 'keep');
  const toSegments = (some: readonly PortSegment[]): string[] =>
    some.map(
      (segment) => `-p ${segment.protocol} -m ${segment.protocol} --dport ${portsText(segment)} -g ${chainOf(segment)}`,
    );
  const pit = guard.observe ? undefined : guard.tarpit;
  const ban = pit === undefined ? '-j DROP' : `-g ${PIT}`;
  const chains: Record<string, readonly string[]> = {
    [CHAIN]: [
      ...trusted(guard, version),
      ANSWERS,
      ...(guard.observe ? [] : [`-m set --match-set ${banSetName(version)} src ${ban}`]),
      // For the client's direction only.
      ...(cut.length > 0 ? [`-m conntrack --ctdir ORIGINAL -j ${CHAIN}-cut`] : []),
      '-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN',
      ...(guard.observe ? [] : trapRules(guard, version)),
      ...toSegments(segments),
    ],
  };
  if (pit !== undefined) {
    chains[PIT] = [
      `-p tcp ${LOCAL} -m conntrack --ctstate NEW -j RETURN`,
      `-p tcp ${LOCAL} -m conntrack --ctstate DNAT --ctreplsrcport ${pit} -j RETURN`,
      '-j DROP',
    ];
  }
  if (cut.length > 0) chains[`${CHAIN}-cut`] = toSegments(cut);
  for (const segment of segments) chains[chainOf(segment)] = segmentRules(segment, version, answer);
  const answered = [`-j MARK --set-xmark ${MARK}`, '-j ACCEPT'];
  for (const protocol of ['tcp', 'udp'] as const) {
    const verdict = answer && !isSilent(guard, protocol) ? answered : ['-j DROP'];
    chains[`${CHAIN}-closed-${protocol}`] = [tried(protocol, version), ...verdict];
  }
  if (answer) chains[`${CHAIN}-reset`] = answered;
  return chains;
}

/** Writes down what no capture sees (`nft-tried.ts`), and lets it go on to its verdict. */
function tried(protocol: 'tcp' | 'udp', version: Family): string {
  const which = protocol === 'tcp' ? '-p tcp -m tcp --tcp-flags SYN,RST,ACK ACK ' : '';
  return `${which}-j SET --add-set ${triedSetName(version)} src,dst`;
}

function trapRules({ traps = [] }: Guard, version: Family): string[] {
  return traps
    .filter(({ protocol }) => protocol === 'tcp')
    .map((trap) => `${LOCAL} ${tried('tcp', version).replace('-m tcp', `-m tcp --dport ${portsText(trap)}`)}`);
}

/** Lets go on whom no ban holds up: loopback, the trusted, and who is allowed for a while. */
function trusted(guard: Guard, version: Family): string[] {
  return [
    '-i lo -j RETURN',
    ...widestPrefixes(guard.trusted)
      .filter(({ address }) => family(address) === version)
      .map((block) => `-s ${printPrefix(block)} -j RETURN`),
    `-m set --match-set ${allowSetName(version)} src -j RETURN`,
  ];
}

function segmentRules({ protocol, doors, close }: PortSegment, version: Family, answer: boolean): string[] {
  const rules = doors.map((door) => `-m set --match-set ${openSetName(door, version)} src -j RETURN`);
  if (protocol === 'tcp' && doors.length > 0) {
    rules.push(`-p tcp -m tcp --tcp-flags SYN,ACK ACK -m set --match-set ${liveSetName(version)} src,src -j RETURN`);
  }
  rules.push(`${forwarded(version)} -j RETURN`);
  // Whatever the face: a session that may go on after the next knock must not hear of its end, one that may not has to.
  const end = close === 'kill' && protocol === 'tcp' && answer ? `-g ${CHAIN}-reset` : '-j DROP';
  if (close !== 'keep') rules.push(`-m conntrack --ctstate ESTABLISHED ${end}`);
  return [...rules, `-g ${CHAIN}-closed-${protocol}`];
}

/**
 * To the port of another machine, which this one only routes to: not ours to close. Asked twice, because an address of an interface in a VRF is
 * local only as seen from there, and one of another interface only from everywhere. Over IPv6 UNICAST says nothing about routes.
 */
function forwarded(version: Family): string {
  if (version === 4) return '-m addrtype --dst-type UNICAST -m addrtype --dst-type UNICAST --limit-iface-in';
  const others = ['LOCAL', 'LOCAL --limit-iface-in', 'MULTICAST', 'ANYCAST'];
  return others.map((type) => `-m addrtype ! --dst-type ${type}`).join(' ');
}

/** Lets through what is not marked, and what nat has led to port 1. */
function marked({ face }: Guard): string[] {
  return [
    `-m mark ! --mark ${MARK} -j RETURN`,
    ...(face === 'mirror' ? ['-p tcp -m tcp --dport 1 -m conntrack --ctstate NEW -j RETURN'] : []),
  ];
}

/** What marked packets are answered; those of sessions are of `kill` doors, whatever the face. */
function refusals(guard: Guard, version: Family): string[] {
  const killed: TcpAnswer = { to: 'established', answer: { 4: 'reset', 6: 'reset' } };
  return [
    ...tcpAnswers(guard, killed).map(
      ({ to, answer }) => `-p tcp ${ANSWERED[to]}${iptablesTarget(answer[version], version)}`,
    ),
    iptablesTarget(answersOf(guard, version).udp, version),
  ];
}

function tableText(table: string, chains: Chains, standing: StandingTable | undefined): string {
  const gone = (standing?.chains ?? []).filter((name) => !(name in chains));
  const hooks = HOOKS[table] ?? [];
  return [
    `*${table}`,
    ...[...Object.keys(chains), ...gone].map((name) => `:${name} - [0:0]`),
    ...(standing?.hooked ? [] : (standing?.jumps ?? []).map(deletion)),
    ...(standing?.hooked ? [] : hooks.map((hook) => `-I ${hook} 1 -j ${CHAIN}`)),
    ...Object.entries(chains).flatMap(([name, rules]) => rules.map((rule) => `-A ${name} ${rule}`)),
    ...gone.map((name) => `-X ${name}`),
    'COMMIT\n',
  ].join('\n');
}

function removal({ table, chains, jumps }: StandingTable): string {
  return [
    `*${table}`,
    ...jumps.map(deletion),
    ...chains.map((name) => `-F ${name}`),
    ...chains.map((name) => `-X ${name}`),
    'COMMIT\n',
  ].join('\n');
}

function standingIn(standing: readonly StandingTable[], table: string): StandingTable | undefined {
  return standing.find((each) => each.table === table);
}

function leadsToUs(rule: string): boolean {
  return /(?:^| )-[jg] POSTERN(?:-\S+)?(?: |$)/.test(rule.replace(/"(?:[^"\\]|\\.)*"/g, ''));
}

function deletion(rule: string): string {
  return rule.replace(/^-A /, '-D ');
}

function jump(hook: string): string {
  return `-A ${hook} -j ${CHAIN}`;
}

function chainOf({ protocol, first, last }: PortSegment): string {
  return `${CHAIN}-${protocol}-${first === last ? first : `${first}-${last}`}`;
}

function portsText({ first, last }: Pick<PortSegment, 'first' | 'last'>): string {
  return first === last ? `${first}` : `${first}:${last}`;
}
