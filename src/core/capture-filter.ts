/**
 * The capture filter: what the kernel may hand to the watcher, compiled from the doors to classic BPF.
 *
 * It runs on an AF_PACKET socket of type SOCK_DGRAM: offset 0 is the network header, the ethertype is SKF_AD_PROTOCOL. The kernel
 * takes the outer VLAN tag off before the filter runs; a second one, or one whose TPID it does not know (0x9100), is still there
 * as four bytes of TCI and inner ethertype, and the filter steps over two of them. Deeper stacks are no host's traffic.
 *
 * To a destination that counts (a local address or a door's target) pass:
 * - bare SYNs to ports that are not public, or are a step or watched, because a stray has to cost the attempt it belongs to (the engine
 *   knows the public ports, too: here they only save work); where ports are watched, all that has neither ACK nor RST instead, which is the probes
 *   of scanners besides, and nothing that an open connection sends;
 * - other TCP packets to a port and with flags that some door counts;
 * - UDP to a port that is a step, or watched: answers to our own traffic land on all the others;
 * - IPv6 with an extension header in front, whatever is behind it: the decoder walks and counts it.
 * Later fragments never pass: they carry no ports. What is too short for its ports or flags never passes. Everything else that
 * is malformed is the decoder's to judge, so nothing here depends on more than the fields it reads.
 *
 * A program must fit the kernel's limit. One that does not is relaxed, each step passing more and never less: see `Relaxation`.
 */

import { type Address, family } from './address.ts';
import {
  assemble,
  at,
  BPF_MAX_INSTRUCTIONS,
  type BpfLabel,
  type BpfProgram,
  type BpfStatement,
  goto,
  jump,
  OPCODES,
  plain,
  SKF_AD_OFF,
  SKF_AD_PROTOCOL,
} from './bpf.ts';
import { ACK, type Door, FIN, type Protocol, RST, SYN } from './door.ts';
import type { PortRange } from './policy.ts';

/** Bytes kept of a packet that passes: a tag, the longest IPv4 and TCP headers, or IPv6 with 192 bytes of extension headers. */
export const SNAP_LENGTH = 256;

/** What a filter is made from. One filter is for one interface. */
export interface CaptureFilterInput {
  readonly doors: readonly Door[];
  /** The interface's own addresses; `any` counts every destination (for a replay on another machine). */
  readonly addresses: readonly Address[] | 'any';
  /** Ports with a listener of their own: a SYN there is no stray. UDP needs none: only steps pass. */
  readonly publicPorts: { readonly tcp: readonly number[] };
  /** Ports whose visitors are told of: SYNs, FIN, NULL and Xmas probes, and datagrams to them pass, public or not. */
  readonly watched?: readonly PortRange[];
  /** False to leave IPv6 packets out altogether. */
  readonly ipv6: boolean;
  /** The most instructions the program may have; BPF_MAX_INSTRUCTIONS by default. net.core.optmem_max may allow fewer: ENOMEM. */
  readonly limit?: number;
}

/** What was given up to fit the limit, in this order. */
export type Relaxation =
  | 'public ports' // SYNs to public ports pass too
  | 'addresses' // every destination counts
  | 'flags' // every TCP packet to a step port passes
  | 'ports'; // every TCP packet, and every UDP packet if any UDP port is wanted, passes

const RELAXATIONS: readonly Relaxation[] = ['public ports', 'addresses', 'flags', 'ports'];

/** A capture filter and what it gave up to fit, for a warning. */
export interface CaptureFilter {
  readonly program: BpfProgram;
  readonly relaxed: readonly Relaxation[];
}

/** The capture filter for one interface: returns 0 to drop a packet, SNAP_LENGTH to pass it. */
export function buildCaptureFilter(input: CaptureFilterInput): BpfProgram {
  return fitCaptureFilter(input).program;
}

/** As `buildCaptureFilter`, and says what was relaxed. The last relaxation fits every limit of 64 instructions or more. */
export function fitCaptureFilter(input: CaptureFilterInput): CaptureFilter {
  const limit = input.limit ?? BPF_MAX_INSTRUCTIONS;
  for (let count = 0; ; count++) {
    const relaxed = RELAXATIONS.slice(0, count);
    const last = count === RELAXATIONS.length;
    if (!last && leastLength(input, new Set(relaxed)) > limit) continue;
    const program = assemble(writeFilter(input, new Set(relaxed)));
    if (last || program.length <= limit) return { program, relaxed };
  }
}

/** A program is longer than this, by the numbers alone: tens of thousands of ports are not assembled to find out. */
function leastLength(input: CaptureFilterInput, relaxed: ReadonlySet<Relaxation>): number {
  const addresses = input.addresses === 'any' || relaxed.has('addresses') ? [] : input.addresses;
  const words = addresses.filter((address) => family(address) === 4).map((address) => address.d >>> 0);
  return casesOf(excludedPorts(input, relaxed), DROP).length + casesOf(words, PASS).length;
}

const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TAGS = [0x8100, 0x88a8, 0x9100];
/** A provider's and a customer's. */
const INNER_TAGS = 2;
const TCP = 6;
const UDP = 17;
/** IPv6 headers that can stand in front of TCP or UDP (IANA "IPv6 Extension Header Types"); not ESP, which hides what follows. */
const EXTENSIONS = [0, 43, 44, 51, 60, 135, 139, 140];
const PROTOCOL_CELL = 0;

const PASS: BpfLabel = Symbol('pass');
const DROP: BpfLabel = Symbol('drop');

/** Values of A that lead to a label: `low` to `high`, both included. */
interface Case {
  readonly low: number;
  readonly high: number;
  readonly to: BpfLabel;
}

function writeFilter(input: CaptureFilterInput, relaxed: ReadonlySet<Relaxation>): BpfStatement[] {
  const targets = input.doors.flatMap((door) => door.target ?? []);
  const any = input.addresses === 'any';
  const destinations = input.addresses === 'any' ? [] : [...input.addresses, ...targets];
  const checked = !any && !relaxed.has('addresses');
  const v4 = destinations.filter((address) => family(address) === 4);
  const v6 = destinations.filter((address) => family(address) === 6);
  const ipv4: BpfLabel = Symbol('ipv4');
  const ipv6: BpfLabel = Symbol('ipv6');
  const ports: BpfLabel = Symbol('ports');
  const families: Case[] = [];
  if (any || v4.length > 0) families.push({ low: IPV4, high: IPV4, to: ipv4 });
  if (input.ipv6 && (any || v6.length > 0)) families.push({ low: IPV6, high: IPV6, to: ipv6 });
  if (families.length === 0) return [plain(OPCODES.retK, 0)];

  return [
    ...writeEthertypes(families, 0),
    ...(families.some(({ to }) => to === ipv4) ? [at(ipv4), ...writeIpv4(checked ? v4 : undefined, ports)] : []),
    ...(families.some(({ to }) => to === ipv6) ? [at(ipv6), ...writeIpv6(checked ? v6 : undefined, ports)] : []),
    at(ports),
    ...writePorts(input, relaxed),
    at(PASS),
    plain(OPCODES.retK, SNAP_LENGTH),
    at(DROP),
    plain(OPCODES.retK, 0),
  ];
}

/** From behind `tags` VLAN tags to the families, with X at the IP header. */
function writeEthertypes(families: readonly Case[], tags: number): BpfStatement[] {
  const tagged: BpfLabel = Symbol('tagged');
  const deeper = tags < INNER_TAGS ? TAGS.flatMap((tag) => casesOf([tag], tagged)) : [];
  return [
    plain(OPCODES.ldxImm, tags * 4),
    tags === 0 ? plain(OPCODES.ldAbs, SKF_AD_OFF + SKF_AD_PROTOCOL) : plain(OPCODES.ldhAbs, tags * 4 - 2),
    ...branch([...families, ...deeper], DROP),
    ...(deeper.length > 0 ? [at(tagged), ...writeEthertypes(families, tags + 1)] : []),
  ];
}

/** From the IPv4 header at X to `ports`, with X at the transport header and its protocol in the cell. */
function writeIpv4(addresses: readonly Address[] | undefined, ports: BpfLabel): BpfStatement[] {
  const counts: BpfLabel = Symbol('ipv4 destination counts');
  const words = new Set(addresses?.map((address) => address.d >>> 0));
  return [
    ...(addresses ? [plain(OPCODES.ldInd, 16), ...branch(casesOf(words, counts), DROP)] : []),
    at(counts),
    // RFC 791: 13 bits of fragment offset.
    plain(OPCODES.ldhInd, 6),
    jump(OPCODES.jsetK, 0x1fff, DROP, undefined),
    plain(OPCODES.ldbInd, 9),
    plain(OPCODES.st, PROTOCOL_CELL),
    // ldxMsh would do this in one, but only for a header at a fixed offset.
    plain(OPCODES.ldbInd, 0),
    plain(OPCODES.andK, 0xf),
    plain(OPCODES.lshK, 2),
    plain(OPCODES.addX),
    plain(OPCODES.tax),
    goto(ports),
  ];
}

/** From the IPv6 header at X to `ports`, as for IPv4; a packet with an extension header passes here. */
function writeIpv6(addresses: readonly Address[] | undefined, ports: BpfLabel): BpfStatement[] {
  const counts: BpfLabel = Symbol('ipv6 destination counts');
  const transport: BpfLabel = Symbol('ipv6 transport');
  const next = [...casesOf(EXTENSIONS, PASS), ...casesOf([TCP, UDP], transport)];
  return [
    ...(addresses ? matchIpv6(addresses, 0, counts) : []),
    at(counts),
    plain(OPCODES.ldbInd, 6),
    ...branch(next, DROP),
    at(transport),
    plain(OPCODES.st, PROTOCOL_CELL),
    plain(OPCODES.txa),
    plain(OPCODES.addK, 40),
    plain(OPCODES.tax),
    goto(ports),
  ];
}

/** Compares the destination word by word: one search over the first words that occur, then one over the second words behind each. */
function matchIpv6(addresses: readonly Address[], depth: number, counts: BpfLabel): BpfStatement[] {
  const groups = new Map<number, Address[]>();
  for (const address of addresses) {
    const word = [address.a, address.b, address.c, address.d][depth]! >>> 0;
    groups.set(word, [...(groups.get(word) ?? []), address]);
  }
  const last = depth === 3;
  const cases: Case[] = [];
  const behind: BpfStatement[] = [];
  for (const [word, group] of [...groups].sort(([x], [y]) => x - y)) {
    const to: BpfLabel = last ? counts : Symbol(`ipv6 word ${depth + 1}`);
    cases.push({ low: word, high: word, to });
    if (!last) behind.push(at(to), ...matchIpv6(group, depth + 1, counts));
  }
  return [plain(OPCODES.ldInd, 24 + 4 * depth), ...branch(cases, DROP), ...behind];
}

/** From the transport header at X to the verdict. */
function writePorts(input: CaptureFilterInput, relaxed: ReadonlySet<Relaxation>): BpfStatement[] {
  const tcp: BpfLabel = Symbol('tcp');
  const udp: BpfLabel = Symbol('udp');
  const syn: BpfLabel = Symbol('bare syn');
  const exclude = excludedPorts(input, relaxed);
  const udpWanted = new Set([...stepPorts(input.doors, 'udp'), ...watchedPorts(input, 'udp')]);
  const every = [{ low: 0, high: 0xffff, to: PASS }];
  const udpPorts = relaxed.has('ports') && udpWanted.size > 0 ? every : casesOf(udpWanted, PASS);
  return [
    plain(OPCODES.ldMem, PROTOCOL_CELL),
    ...branch([...casesOf([TCP], tcp), ...(udpPorts.length > 0 ? casesOf([UDP], udp) : [])], DROP),
    ...(udpPorts.length > 0 ? [at(udp), plain(OPCODES.ldhInd, 2), ...branch(udpPorts, DROP)] : []),
    at(tcp),
    plain(OPCODES.ldbInd, 13),
    ...(input.watched
      ? [plain(OPCODES.andK, ACK | RST), jump(OPCODES.jeqK, 0, syn, undefined)]
      : [plain(OPCODES.andK, SYN | ACK | RST | FIN), jump(OPCODES.jeqK, SYN, syn, undefined)]),
    ...(relaxed.has('ports') ? [goto(PASS)] : writeFlagGroups(input.doors, relaxed.has('flags'))),
    at(syn),
    ...(exclude.length > 0 ? [plain(OPCODES.ldhInd, 2), ...branch(casesOf(exclude, DROP), PASS)] : [goto(PASS)]),
  ];
}

/** TCP ports whose SYNs are left out. */
function excludedPorts(input: CaptureFilterInput, relaxed: ReadonlySet<Relaxation>): number[] {
  const { doors, publicPorts } = input;
  if (relaxed.has('public ports')) return [];
  const wanted = new Set([...stepPorts(doors, 'tcp'), ...watchedPorts(input, 'tcp')]);
  return publicPorts.tcp.filter((port) => !wanted.has(port));
}

function watchedPorts({ watched = [] }: CaptureFilterInput, protocol: Protocol): number[] {
  return watched
    .filter((range) => range.protocol === protocol)
    .flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, index) => first + index));
}

/** TCP packets other than those: for each pair of flag masks that doors have, the ports of those doors. */
function writeFlagGroups(doors: readonly Door[], ignoreFlags: boolean): BpfStatement[] {
  const everyFlag = new Set<number>();
  const groups = new Map([[0, everyFlag]]);
  for (const door of doors) {
    const { set, clear } = ignoreFlags ? { set: 0, clear: 0 } : door.tcpFlags;
    const onlyBareSyns = (set & SYN) !== 0 && (clear & (ACK | RST | FIN)) === (ACK | RST | FIN);
    if (onlyBareSyns || (set & clear) !== 0) continue;
    const key = (set << 8) | clear;
    const ports = groups.get(key) ?? new Set();
    for (const port of stepPorts([door], 'tcp')) ports.add(port);
    groups.set(key, ports);
  }
  const statements: BpfStatement[] = [];
  for (const [key, ports] of groups) {
    const set = key >> 8;
    const clear = key & 0xff;
    const wanted = key === 0 ? [...ports] : [...ports].filter((port) => !everyFlag.has(port));
    if (wanted.length === 0) continue;
    const next: BpfLabel = Symbol('next flags');
    if (key !== 0) {
      statements.push(plain(OPCODES.ldbInd, 13), plain(OPCODES.andK, set | clear));
      statements.push(jump(OPCODES.jeqK, set, undefined, next));
    }
    statements.push(plain(OPCODES.ldhInd, 2), ...branch(casesOf(wanted, PASS), next), at(next));
  }
  return [...statements, goto(DROP)];
}

function stepPorts(doors: readonly Door[], protocol: Protocol): Set<number> {
  return new Set(
    doors.flatMap((door) => door.steps.filter((step) => step.protocol === protocol).map((step) => step.port)),
  );
}

/** The values in order, neighbours as one case. */
function casesOf(values: Iterable<number>, to: BpfLabel): Case[] {
  const cases: { low: number; high: number; to: BpfLabel }[] = [];
  for (const value of [...new Set(values)].sort((x, y) => x - y)) {
    const last = cases.at(-1);
    if (last && value === last.high + 1) last.high = value;
    else cases.push({ low: value, high: value, to });
  }
  return cases;
}

/** Cases that are tried one by one at the end of a search: one test a case instead of two, for two more tests on the way. */
const LEAF_CASES = 4;

/** Finds A among cases that do not overlap: a balanced search that never falls through. */
function branch(cases: readonly Case[], otherwise: BpfLabel): BpfStatement[] {
  return search(
    cases.toSorted((x, y) => x.low - y.low),
    otherwise,
    0,
  );
}

/** The search among sorted cases; `floor` is what A is known to be at least. */
function search(cases: readonly Case[], otherwise: BpfLabel, floor: number): BpfStatement[] {
  if (cases.length > LEAF_CASES) {
    const middle = cases.length >> 1;
    const low = cases[middle]!.low;
    const right: BpfLabel = Symbol('right half');
    return [
      jump(OPCODES.jgeK, low, right, undefined),
      ...search(cases.slice(0, middle), otherwise, floor),
      at(right),
      ...search(cases.slice(middle), otherwise, low),
    ];
  }
  if (cases.length === 0) return [goto(otherwise)];
  const tests: BpfStatement[] = [];
  let known = floor;
  for (const [index, { low, high, to }] of cases.entries()) {
    const next = index === cases.length - 1 ? otherwise : undefined;
    if (low === high) {
      tests.push(jump(OPCODES.jeqK, low, to, next));
      continue;
    }
    if (low > known) tests.push(jump(OPCODES.jgeK, low, undefined, otherwise));
    tests.push(jump(OPCODES.jgtK, high, next, to));
    known = high + 1;
  }
  return tests;
}
