/**
 * Builds packets by hand, byte for byte, with right lengths and checksums, so that a kernel takes them too when they are sent
 * raw. Builders nest from the inside out: `ethernet(ipv4Packet({ … }, tcpSegment({ … })))`. Whatever a test wants wrong it
 * overrides by name, or patches afterwards with `patched`.
 */

import assert from 'node:assert/strict';
import { type Address, family, parseAddress } from '../../src/core/address.ts';

export const TCP = 6;
export const UDP = 17;
export const HOP_BY_HOP = 0;
export const ROUTING = 43;
export const FRAGMENT = 44;
export const AUTHENTICATION = 51;
export const NO_NEXT_HEADER = 59;
export const DESTINATION_OPTIONS = 60;
export const MOBILITY = 135;

export interface TcpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  /** Flag bits; default SYN. */
  readonly flags?: number;
  /** Padded to a multiple of four. */
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
  /** In 4-byte words, instead of the right one. */
  readonly dataOffset?: number;
}

export interface UdpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly payload?: Uint8Array;
  /** Instead of the right one. */
  readonly length?: number;
}

export interface IpFields {
  readonly source: string;
  readonly destination: string;
  readonly ttl?: number;
  /** The protocol or next header, instead of the right one. */
  readonly protocol?: number;
  /** IPv4's total length or IPv6's payload length, instead of the right one. */
  readonly length?: number;
}

export interface Ipv4Fields extends IpFields {
  /** Padded to a multiple of four, at most 40 bytes. */
  readonly options?: Uint8Array;
  readonly identification?: number;
  /** The fragment offset in bytes, a multiple of eight. */
  readonly offset?: number;
  readonly moreFragments?: boolean;
  readonly dontFragment?: boolean;
}

export interface Ipv6Fields extends IpFields {
  /** In order, each without its next-header byte: `{ type, rest }`. */
  readonly extensions?: readonly Extension[];
}

/** One IPv6 extension header: its number and everything behind the next-header byte, beginning with its length byte. */
export interface Extension {
  readonly type: number;
  readonly rest: Uint8Array;
}

/** A transport segment whose checksum still waits for the addresses around it. */
export interface Segment {
  readonly protocol: number;
  readonly bytes: Uint8Array;
  /** Where the checksum belongs; undefined when there is none. */
  readonly checksumAt: number | undefined;
}

export function tcpSegment(fields: TcpFields = {}): Segment {
  const options = padded(fields.options ?? new Uint8Array(0), 4);
  const payload = fields.payload ?? new Uint8Array(0);
  const bytes = new Uint8Array(20 + options.length + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, fields.sourcePort ?? 40000);
  view.setUint16(2, fields.destinationPort ?? 7000);
  view.setInt32(4, (fields.sequence ?? 1) | 0);
  view.setInt32(8, (fields.acknowledgement ?? 0) | 0);
  bytes[12] = (fields.dataOffset ?? 5 + options.length / 4) << 4;
  bytes[13] = fields.flags ?? 0x02;
  view.setUint16(14, 64240);
  bytes.set(options, 20);
  bytes.set(payload, 20 + options.length);
  return { protocol: TCP, bytes, checksumAt: 16 };
}

export function udpSegment(fields: UdpFields = {}): Segment {
  const payload = fields.payload ?? new Uint8Array(1);
  const bytes = new Uint8Array(8 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, fields.sourcePort ?? 40000);
  view.setUint16(2, fields.destinationPort ?? 8000);
  view.setUint16(4, fields.length ?? bytes.length);
  bytes.set(payload, 8);
  return { protocol: UDP, bytes, checksumAt: 6 };
}

/** Anything else behind an IP header. */
export function rawSegment(protocol: number, bytes: Uint8Array): Segment {
  return { protocol, bytes, checksumAt: undefined };
}

export function ipv4Packet(fields: Ipv4Fields, segment: Segment): Uint8Array {
  const source = address(fields.source);
  const destination = address(fields.destination);
  assert.ok(family(source) === 4 && family(destination) === 4, 'ipv4Packet needs IPv4 addresses');
  const options = padded(fields.options ?? new Uint8Array(0), 4);
  const header = 20 + options.length;
  const bytes = new Uint8Array(header + segment.bytes.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x40 | (header / 4);
  view.setUint16(2, fields.length ?? bytes.length);
  view.setUint16(4, fields.identification ?? 1);
  const flags = (fields.moreFragments ? 0x2000 : 0) | (fields.dontFragment ? 0x4000 : 0);
  view.setUint16(6, flags | ((fields.offset ?? 0) >>> 3));
  bytes[8] = fields.ttl ?? 64;
  bytes[9] = fields.protocol ?? segment.protocol;
  view.setInt32(12, source.d);
  view.setInt32(16, destination.d);
  bytes.set(options, 20);
  view.setUint16(10, checksum(bytes.subarray(0, header)));
  bytes.set(summed(segment, [source.d, destination.d]), header);
  return bytes;
}

export function ipv6Packet(fields: Ipv6Fields, segment: Segment): Uint8Array {
  const source = address(fields.source);
  const destination = address(fields.destination);
  const extensions = fields.extensions ?? [];
  const payload = extensions.reduce((sum, { rest }) => sum + 1 + rest.length, segment.bytes.length);
  const bytes = new Uint8Array(40 + payload);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, fields.length ?? payload);
  const last = fields.protocol ?? segment.protocol;
  bytes[6] = extensions[0]?.type ?? last;
  bytes[7] = fields.ttl ?? 64;
  const addresses = [source, destination].flatMap(({ a, b, c, d }) => [a, b, c, d]);
  for (const [index, word] of addresses.entries()) view.setInt32(8 + index * 4, word);
  let at = 40;
  for (const [index, { rest }] of extensions.entries()) {
    bytes[at] = extensions[index + 1]?.type ?? last;
    bytes.set(rest, at + 1);
    at += 1 + rest.length;
  }
  bytes.set(summed(segment, addresses), at);
  return bytes;
}

/** Hop-by-hop, destination options, mobility: `units` more than one of eight bytes each, filled with a PadN option. */
export function options(type: number, units = 0): Extension {
  const rest = new Uint8Array(7 + units * 8);
  rest[0] = units;
  let at = 1;
  while (at < rest.length) {
    const size = Math.min(rest.length - at, 257);
    rest[at] = size === 1 ? 0 : 1;
    if (size > 1) rest[at + 1] = size - 2;
    at += size;
  }
  return { type, rest };
}

export function routing(routingType: number, segmentsLeft: number, units = 0): Extension {
  const rest = new Uint8Array(7 + units * 8);
  rest.set([units, routingType, segmentsLeft]);
  return { type: ROUTING, rest };
}

/** RFC 4302: the length is in 4-byte words, less two. */
export function authentication(icvLength = 12): Extension {
  const rest = new Uint8Array(11 + icvLength);
  rest[0] = (12 + icvLength) / 4 - 2;
  return { type: AUTHENTICATION, rest };
}

/** `offset` in bytes; offset 0 without more fragments is an atomic fragment. */
export function fragment(offset = 0, more = false, identification = 1): Extension {
  const rest = new Uint8Array(7);
  const view = new DataView(rest.buffer);
  view.setUint16(1, offset | (more ? 1 : 0));
  view.setUint32(3, identification);
  return { type: FRAGMENT, rest };
}

export interface Tag {
  /** 0x8100, 0x88a8 or 0x9100. */
  readonly type?: number;
  readonly vlan: number;
}

const DEFAULT_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** The ethertype that fits an IP packet. */
export function etherTypeOf(packet: Uint8Array): number {
  return packet[0]! >>> 4 === 6 ? 0x86dd : 0x0800;
}

export interface EthernetFields {
  readonly tags?: readonly Tag[];
  readonly etherType?: number;
  readonly destination?: Uint8Array;
  readonly source?: Uint8Array;
  /** Fill up to the 60 bytes that a short frame has on a real wire. */
  readonly padded?: boolean;
}

export function ethernet(packet: Uint8Array, fields: EthernetFields = {}): Uint8Array {
  const tagged = withTags(packet, fields.tags ?? [], fields.etherType);
  const length = 12 + tagged.length;
  const frame = new Uint8Array(fields.padded ? Math.max(length, 60) : length);
  frame.set(fields.destination ?? DEFAULT_MAC, 0);
  frame.set(fields.source ?? DEFAULT_MAC, 6);
  frame.set(tagged, 12);
  return frame;
}

/** Linux cooked capture, version 1. */
export function cookedV1(packet: Uint8Array, tags: readonly Tag[] = []): Uint8Array {
  const header = new Uint8Array(14);
  header.set([0, 0, 0, 1, 0, 6, ...DEFAULT_MAC]);
  return joined(header, withTags(packet, tags));
}

/** Linux cooked capture, version 2. */
export function cookedV2(packet: Uint8Array, tags: readonly Tag[] = []): Uint8Array {
  const tagged = withTags(packet, tags);
  const header = new Uint8Array(18);
  header.set([0, 0, 0, 0, 0, 2, 0, 1, 0, 6, ...DEFAULT_MAC]);
  return joined(tagged.subarray(0, 2), header, tagged.subarray(2));
}

/** BSD loopback: the address family in front, in either byte order. */
export function loopback(packet: Uint8Array, addressFamily: number, bigEndian: boolean): Uint8Array {
  const header = new Uint8Array(4);
  new DataView(header.buffer).setUint32(0, addressFamily, !bigEndian);
  return joined(header, packet);
}

/** The packet behind its tags, beginning with the (outermost) ethertype. */
function withTags(packet: Uint8Array, tags: readonly Tag[], etherType = etherTypeOf(packet)): Uint8Array {
  const head = [...tags.flatMap(({ type = 0x8100, vlan }) => [type, vlan]), etherType];
  return joined(Uint8Array.from(head.flatMap((word) => [word >>> 8, word & 0xff])), packet);
}

/** A copy with some bytes replaced. */
export function patched(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, at);
  return copy;
}

/** The Internet checksum (RFC 1071). */
export function checksum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** The segment with its checksum, the addresses' words included (RFC 9293 § 3.1, RFC 8200 § 8.1). */
function summed(segment: Segment, addresses: readonly number[]): Uint8Array {
  if (segment.checksumAt === undefined) return segment.bytes;
  const bytes = segment.bytes.slice();
  const pseudo = addresses.reduce(
    (sum, word) => sum + (word >>> 16) + (word & 0xffff),
    bytes.length + segment.protocol,
  );
  // A UDP checksum that comes out as 0 is sent as 0xffff (RFC 768); for TCP the two mean the same.
  new DataView(bytes.buffer).setUint16(segment.checksumAt, checksum(bytes, pseudo) || 0xffff);
  return bytes;
}

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert.ok(parsed, `"${text}" is no address`);
  return parsed;
}

function padded(bytes: Uint8Array, multiple: number): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.length / multiple) * multiple);
  whole.set(bytes);
  return whole;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
