/**
 * IP addresses as four signed 32-bit words, so that comparing, hashing and masking them is integer arithmetic.
 *
 * IPv4 lives inside IPv6 as `::ffff:a.b.c.d` (RFC 4291 § 2.5.5.2); a packet that really carries such an IPv6 address is
 * dropped by the decoder, so the two families never meet in one key. Text is parsed by one strict reader: no empty or
 * over-long parts, no leading zeros in IPv4, no zone. Printing follows RFC 5952, as `inet_ntop` does.
 */

/** An IPv4 or IPv6 address: the 128 bits in network order, each word a signed 32-bit integer. */
export interface Address {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

export type Family = 4 | 6;

const MAPPED = 0x0000ffff;

/** The IPv4 address held in one 32-bit word. */
export function ipv4(word: number): Address {
  return { a: 0, b: 0, c: MAPPED, d: word | 0 };
}

export function family(address: Address): Family {
  return address.a === 0 && address.b === 0 && address.c === MAPPED ? 4 : 6;
}

export function sameAddress(x: Address, y: Address): boolean {
  return x.d === y.d && x.c === y.c && x.b === y.b && x.a === y.a;
}

/**
 * Can a single host have this address? Not the unspecified address (which a careless command takes for "everybody"), not
 * multicast, not the limited broadcast: none of them may ever be let in (RFC 1122 § 3.2.1.3, RFC 4291 §§ 2.5.2 and 2.7). The
 * rest of 0/8 and of 240/4 counts as hosts, because Linux routes it.
 */
export function isHost(address: Address): boolean {
  const { a, b, c, d } = address;
  if (family(address) === 4) return d !== 0 && d !== -1 && d >>> 28 !== 14;
  return a >>> 24 !== 0xff && (a | b | c | d) !== 0;
}

/** Is it this machine itself, whatever machine it is? 127/8 (RFC 1122 § 3.2.1.3) or ::1. */
export function isLoopback(address: Address): boolean {
  const { a, b, c, d } = address;
  return family(address) === 4 ? d >>> 24 === 127 : (a | b | c) === 0 && d === 1;
}

/** Is it good on one link only (fe80::/10, RFC 4291 § 2.5.6)? Neighbours and routers are reached by such addresses. */
export function isLinkLocal(address: Address): boolean {
  return family(address) === 6 && (address.a & 0xffc0_0000) >>> 0 === 0xfe80_0000;
}

/** Reads an IPv4 or IPv6 address; undefined when the text is anything else. Callers that have a line to blame throw. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > 45) return undefined;
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Prints an address as `inet_ntop` does: dotted for IPv4, RFC 5952 for IPv6 (lower case, longest zero run compressed). */
export function printAddress(address: Address): string {
  if (family(address) === 4) return printIpv4(address.d);
  const groups = [address.a, address.b, address.c, address.d].flatMap((word) => [word >>> 16, word & 0xffff]);
  // inet_ntop writes the tail of IPv4-compatible addresses dotted: ::a.b.c.d with more than 16 significant bits.
  if (groups.slice(0, 6).every((group) => group === 0) && groups[6] !== 0) return `::${printIpv4(address.d)}`;
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

function parseIpv4Word(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    word = (word << 8) | octet;
  }
  return word;
}

function parseIpv4(text: string): Address | undefined {
  const word = parseIpv4Word(text);
  return word === undefined ? undefined : ipv4(word);
}

function parseIpv6(text: string): Address | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (index: number): number => ((groups[index] ?? 0) << 16) | (groups[index + 1] ?? 0);
  return { a: word(0), b: word(2), c: word(4), d: word(6) };
}

function parseGroups(text: string, mayEndDotted: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (mayEndDotted && index === parts.length - 1 && part.includes('.')) {
      const word = parseIpv4Word(part);
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

function printIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}
