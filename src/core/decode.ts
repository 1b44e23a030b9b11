/**
 * Strangers' IP packets → `Packet`, or the reason why not. Never throws, never loops on what a stranger says.
 *
 * Four lengths have to agree: what was captured, what was on the wire, what the IP header claims and what the transport
 * header claims. More captured than the IP header claims is Ethernet padding and ignored; less is a short snapshot and fine
 * as long as every byte that is read or skipped is there (TCP options are neither). A header that claims more than its packet
 * holds contradicts itself and is dropped, also where the bytes to read are present: the kernel drops it too (RFC 1122
 * § 3.2.1.1, RFC 8200 § 3), and what the host never sees must not count as a knock. Checksums are not looked at: on the
 * sending host and over virtual links they are not computed yet when a packet is captured.
 */

import type { Address } from './address.ts';
import { ipv4, isHost } from './address.ts';
import { ByteCursor } from './byte-cursor.ts';
import type { Drop, DropReason, Packet } from './packet.ts';

const HOP_BY_HOP = 0;
const TCP = 6;
const UDP = 17;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const MOBILITY = 135;
const HOST_IDENTITY = 139;
const SHIM6 = 140;

/** RFC 8200 § 4.1 recommends an order with at most seven headers before the upper layer; one more is the whole tolerance. */
export const MAX_EXTENSION_HEADERS = 8;

const MORE_FRAGMENTS_OR_OFFSET = 0x3fff;
const MAPPED_PREFIX = 0x0000ffff;

// One frozen object per reason: a flood of junk allocates nothing.
const TRUNCATED = drop('truncated');
const IP_HEADER = drop('ip-header');
const FRAGMENTED = drop('fragment');
const EXTENSION = drop('extension');
const MAPPED = drop('mapped-source');
const SOURCE = drop('source');
const PROTOCOL = drop('protocol');
const TCP_HEADER = drop('tcp-header');
const UDP_HEADER = drop('udp-header');

/**
 * Decodes bytes that begin at the IP header, of either version.
 *
 * `wireLength` is what the link layer says was on the wire from there on: at least `bytes.length`, more after a short snapshot.
 */
export function decodeNetwork(bytes: Uint8Array, wireLength: number): Packet | Drop {
  return decodeNetworkAt(new ByteCursor(bytes), wireLength);
}

/** `decodeNetwork` from where a cursor stands, with `wireLength` counted from there. */
export function decodeNetworkAt(cursor: ByteCursor, wireLength: number): Packet | Drop {
  return cursor.peek() >>> 4 === 6 ? decodeIpv6At(cursor, wireLength) : decodeIpv4At(cursor, wireLength);
}

/** An IPv4 packet (RFC 791 § 3.1); another version is dropped, as the kernel does when the ethertype says IPv4. */
export function decodeIpv4At(cursor: ByteCursor, wireLength: number): Packet | Drop {
  const versionAndLength = cursor.u8();
  cursor.skip(1);
  const total = cursor.u16();
  cursor.skip(2);
  const fragment = cursor.u16();
  cursor.skip(1);
  const protocol = cursor.u8();
  cursor.skip(2);
  const source = ipv4(cursor.i32());
  const destination = ipv4(cursor.i32());
  if (cursor.failed) return TRUNCATED;

  const header = (versionAndLength & 15) * 4;
  if (versionAndLength >>> 4 !== 4 || header < 20 || total < header || total > wireLength) return IP_HEADER;
  if ((fragment & MORE_FRAGMENTS_OR_OFFSET) !== 0) return FRAGMENTED;
  if (!isHost(source)) return SOURCE;
  cursor.skip(header - 20);
  return decodeTransport(cursor, protocol, total - header, source, destination, total);
}

/** An IPv6 packet (RFC 8200 § 3); another version is dropped. Jumbograms (RFC 2675) are no knocks and end as contradictions. */
export function decodeIpv6At(cursor: ByteCursor, wireLength: number): Packet | Drop {
  const version = cursor.u8() >>> 4;
  cursor.skip(3);
  const payload = cursor.u16();
  const next = cursor.u8();
  cursor.skip(1);
  const source = { a: cursor.i32(), b: cursor.i32(), c: cursor.i32(), d: cursor.i32() };
  const destination = { a: cursor.i32(), b: cursor.i32(), c: cursor.i32(), d: cursor.i32() };
  if (cursor.failed) return TRUNCATED;

  const total = payload + 40;
  if (version !== 6 || total > wireLength) return IP_HEADER;
  if (isMapped(source) || isMapped(destination)) return MAPPED;
  if (!isHost(source)) return SOURCE;
  return decodeChain(cursor, next, payload, source, destination, total);
}

/** Walks the extension headers (RFC 8200 § 4) to TCP or UDP; `left` is what the IP header says is still to come. */
function decodeChain(
  cursor: ByteCursor,
  first: number,
  payload: number,
  source: Address,
  destination: Address,
  total: number,
): Packet | Drop {
  let header = first;
  let left = payload;
  for (let count = 0; isExtension(header); count++) {
    // A fragment header alone, offset 0 and no more to come, is still one: RFC 6946's atomic fragments have no honest use today.
    if (header === FRAGMENT) return FRAGMENTED;
    if (count === MAX_EXTENSION_HEADERS || (header === HOP_BY_HOP && count > 0)) return EXTENSION;
    const next = cursor.u8();
    const units = cursor.u8();
    const length = header === AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8;
    if (length > left) return EXTENSION;
    if (header === ROUTING) {
      cursor.skip(1);
      // Segments left: this host is a hop, not the destination (and RFC 5095 for type 0).
      if (cursor.u8() !== 0) return EXTENSION;
      cursor.skip(length - 4);
    } else {
      cursor.skip(length - 2);
    }
    if (cursor.failed) return TRUNCATED;
    left -= length;
    header = next;
  }
  return decodeTransport(cursor, header, left, source, destination, total);
}

/** `left` is the size of the transport segment by the IP header, `total` that of the whole packet. */
function decodeTransport(
  cursor: ByteCursor,
  protocol: number,
  left: number,
  source: Address,
  destination: Address,
  total: number,
): Packet | Drop {
  if (protocol === TCP) return decodeTcp(cursor, left, source, destination, total);
  if (protocol === UDP) return decodeUdp(cursor, left, source, destination, total);
  return PROTOCOL;
}

/** RFC 9293 § 3.1. */
function decodeTcp(
  cursor: ByteCursor,
  left: number,
  source: Address,
  destination: Address,
  total: number,
): Packet | Drop {
  if (left < 20) return TCP_HEADER;
  const sourcePort = cursor.u16();
  const destinationPort = cursor.u16();
  const sequence = cursor.i32();
  cursor.skip(4);
  const header = (cursor.u8() >>> 4) * 4;
  const flags = cursor.u8();
  cursor.skip(6);
  if (cursor.failed) return TRUNCATED;
  if (header < 20 || header > left) return TCP_HEADER;
  return { source, destination, protocol: 'tcp', sourcePort, destinationPort, flags, sequence, length: total };
}

/** RFC 768. A length below the IP payload's is allowed: the rest is RFC 9868's options, or nothing. */
function decodeUdp(
  cursor: ByteCursor,
  left: number,
  source: Address,
  destination: Address,
  total: number,
): Packet | Drop {
  if (left < 8) return UDP_HEADER;
  const sourcePort = cursor.u16();
  const destinationPort = cursor.u16();
  const length = cursor.u16();
  cursor.skip(2);
  if (cursor.failed) return TRUNCATED;
  if (length < 8 || length > left) return UDP_HEADER;
  return { source, destination, protocol: 'udp', sourcePort, destinationPort, flags: 0, sequence: 0, length: total };
}

function isExtension(header: number): boolean {
  switch (header) {
    case HOP_BY_HOP:
    case ROUTING:
    case FRAGMENT:
    case AUTHENTICATION:
    case DESTINATION_OPTIONS:
    case MOBILITY:
    case HOST_IDENTITY:
    case SHIM6:
      return true;
    default:
      return false;
  }
}

function isMapped(address: Address): boolean {
  return address.a === 0 && address.b === 0 && address.c === MAPPED_PREFIX;
}

function drop(reason: DropReason): Drop {
  return Object.freeze({ drop: reason });
}
