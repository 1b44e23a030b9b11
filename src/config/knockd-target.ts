/**
 * What a `Target` means. knockd puts its text into the capture filter and later compares it, as text, with the printed
 * destination of a packet. So an address counts; whatever else libpcap accepts (a host name that resolves, `10.1`, an
 * expression) lets knockd start with a door that never opens; the rest is libpcap's error at start-up, in libpcap's words where
 * they can be told without it. Host names are never looked up here.
 */

import { type Address, parseAddress, printAddress } from '../core/address.ts';
import { type Finding, finding, quote } from './problem.ts';

/**
 * The target of a door whose `Target` matches no packet: the unspecified address, which is never a destination
 * (RFC 4291 § 2.5.2).
 */
export const NOWHERE: Address = { a: 0, b: 0, c: 0, d: 0 };

export interface Target {
  /** `NOWHERE` when no packet can match. */
  readonly address: Address;
  /** libpcap's complaint; with it knockd does not start. */
  readonly refusal?: string;
  readonly finding?: Finding;
}

const NAME = /^[A-Za-z0-9](?:[-_.A-Za-z0-9]*[.A-Za-z0-9])?/;
const SYNTAX_ERROR = "can't parse filter expression: syntax error";
const HINT = 'Write one IP address of this machine, such as "Target = 192.0.2.1", or leave Target out for all of them';

/** Words of libpcap's filter language (pcap-filter(7)), which can't be host names there. */
const FILTER_WORDS = new Set(
  (
    'dst src host net mask port portrange proto protochain gateway less greater byte broadcast multicast inbound outbound ifname ' +
    'link ether fddi tr wlan ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim vrrp carp ah esp atalk aarp decnet lat sca ' +
    'moprc mopdl iso esis isis l1 l2 iih lsp snp csnp psnp stp ipx netbeui clnp type subtype dir direction len length and or not ' +
    'ifindex vlan mpls pppoed pppoes geneve lane llc metac bcc oam oamf4 sc ilmic vpi vci connectmsg metaconnect on rnr rulenum ' +
    'srnr subrulenum rset ruleset reason action radio hopcount addr1 addr2 addr3 addr4 ra ta'
  ).split(' '),
);

/** Reads the value of `Target`. */
export function readTarget(text: string): Target {
  const address = parseAddress(text);
  if (address) {
    const printed = printAddress(address);
    if (printed === text) return { address };
    const message = `The target ${quote(text)} is not in its printed form: knockd compares text and would never match it`;
    return { address, finding: finding('warning', message, `Write "Target = ${printed}"`) };
  }
  const refusal = refusalOf(text);
  if (refusal !== undefined) {
    return {
      address: NOWHERE,
      refusal,
      finding: finding('error', `Cannot use the target ${quote(text)}`, hintFor(text)),
    };
  }
  const message = `The target ${quote(text)} is not an IP address: it never matches, so this door never opens`;
  return { address: NOWHERE, finding: finding('warning', message, HINT) };
}

function hintFor(text: string): string {
  const comment = /^(\S+)\s+#/.exec(text)?.[1];
  if (comment && parseAddress(comment)) return `Put the comment on a line of its own: after a value "#" is part of it`;
  return HINT;
}

/** libpcap's complaint about `dst host TEXT`, or undefined when it may accept it. */
function refusalOf(text: string): string | undefined {
  if (text.includes('/')) return refusalOfNetwork(text);
  if (/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text)) return 'ethernet address used in non-ether expression';
  const operands = text.split(/\s+(?:or|and|\|\||&&)\s+/);
  if (operands.length > 1) {
    for (const operand of operands) {
      const refusal = refusalOf(operand.replace(/^(?:dst host|src host|host)\s+/, ''));
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }
  const bare = text.replace(/^(?:not|!)\s*/, '').replace(/^\((.*)\)$/, '$1');
  if (parseAddress(bare)) return undefined;
  if (parseAddress(bare.split(/\s/)[0] ?? '')) return SYNTAX_ERROR;
  const word = NAME.exec(bare)?.[0];
  if (word === undefined || FILTER_WORDS.has(word) || bare.includes('::')) return SYNTAX_ERROR;
  if (/^\d+$/.test(word)) return bare !== word ? SYNTAX_ERROR : refusalOfNumber(word);
  if (/^\d+(\.\d+){1,3}$/.test(word)) {
    if (word.split('.').some((part) => Number(part) > 255)) return `invalid IPv4 address '${word}'`;
    return bare === word ? undefined : SYNTAX_ERROR;
  }
  if (/^\d+(\.\d+)*$/.test(word)) return `unknown host '${word}'`;
  return bare === word ? undefined : `unknown host '${word}'`;
}

function refusalOfNumber(digits: string): string | undefined {
  return digits.replace(/^0+/, '').length > 10 || Number(digits) > 0xffffffff
    ? `number ${digits} overflows 32 bits`
    : undefined;
}

function refusalOfNetwork(text: string): string {
  const [, host, bits] = /^([0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*)\/([0-9]{1,3})$/i.exec(text) ?? [];
  const address = host === undefined ? undefined : parseAddress(host);
  if (!address) return SYNTAX_ERROR;
  const width = text.includes(':') ? 128 : 32;
  const length = Number(bits);
  if (length > width) return `mask length must be <= ${width}`;
  const words = width === 32 ? [address.d] : [address.a, address.b, address.c, address.d];
  const left = words.map((word, i) => (word & ~maskWord(length - 32 * i)) !== 0);
  return left.includes(true) ? `non-network bits set in "${text}"` : 'Mask syntax for networks only';
}

function maskWord(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : (-1 << (32 - bits)) | 0;
}
