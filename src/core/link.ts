/**
 * What stands in front of the IP header: strips the link layers that a capture can come in, then decodes.
 *
 * Link types are pcap's (the LINKTYPE registry of tcpdump.org). VLAN tags (802.1Q, 802.1ad, the older QinQ) are skipped
 * wherever an ethertype stands, up to a bounded depth; the kernel has usually taken the outermost one off already. The
 * ethertype has to agree with the version in the IP header. Anything that is not IP is dropped as `link-type`.
 */

import { ByteCursor } from './byte-cursor.ts';
import { decodeIpv4At, decodeIpv6At, decodeNetworkAt } from './decode.ts';
import type { Drop, Packet } from './packet.ts';

/** One link layer: its number in a pcap file, its name as tcpdump prints it, and the bytes before the network header. */
export interface LinkType {
  readonly number: number;
  readonly name: string;
  /** Without VLAN tags, of which each adds 4. */
  readonly headerLength: number;
}

/** Every link layer that `decodeFrame` knows, for messages that say what would have been right. */
export const LINK_TYPES: readonly LinkType[] = [
  { number: 0, name: 'NULL', headerLength: 4 },
  { number: 1, name: 'EN10MB', headerLength: 14 },
  { number: 12, name: 'RAW', headerLength: 0 },
  { number: 14, name: 'RAW', headerLength: 0 },
  { number: 101, name: 'RAW', headerLength: 0 },
  { number: 108, name: 'LOOP', headerLength: 4 },
  { number: 113, name: 'LINUX_SLL', headerLength: 16 },
  { number: 228, name: 'IPV4', headerLength: 0 },
  { number: 229, name: 'IPV6', headerLength: 0 },
  { number: 276, name: 'LINUX_SLL2', headerLength: 20 },
];

/** Tags on one frame before it counts as junk: provider and customer make two, nested providers have been seen with four. */
export const MAX_TAGS = 4;

const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const DOT1Q = 0x8100;
const DOT1AD = 0x88a8;
const QINQ = 0x9100;

const NOT_IP: Drop = Object.freeze({ drop: 'link-type' });
const TRUNCATED: Drop = Object.freeze({ drop: 'truncated' });

/** The link layer of that number, or undefined when frames of it cannot be decoded. */
export function linkType(number: number): LinkType | undefined {
  return LINK_TYPES.find((known) => known.number === number);
}

/** Decodes a frame of pcap link type `type`; `wireLength` is the whole frame's length on the wire. */
export function decodeFrame(type: number, bytes: Uint8Array, wireLength: number): Packet | Drop {
  const cursor = new ByteCursor(bytes);
  switch (type) {
    case 1:
      cursor.skip(12);
      return decodeTyped(cursor, cursor.u16(), wireLength - 14);
    case 12:
    case 14:
    case 101:
      return decodeNetworkAt(cursor, wireLength);
    case 228:
      return decodeIpv4At(cursor, wireLength);
    case 229:
      return decodeIpv6At(cursor, wireLength);
    case 113:
      cursor.skip(14);
      return decodeTyped(cursor, cursor.u16(), wireLength - 16);
    case 276: {
      const etherType = cursor.u16();
      cursor.skip(18);
      return decodeTyped(cursor, etherType, wireLength - 20);
    }
    case 0:
    case 108:
      return decodeLoopback(cursor, wireLength - 4);
    default:
      return NOT_IP;
  }
}

/**
 * Decodes what an AF_PACKET socket of type SOCK_DGRAM delivers: the bytes after the link header, and the ethertype from
 * `sockaddr_ll`. When that ethertype is a VLAN tag's, the bytes begin with the tag's other half and the next ethertype.
 */
export function decodeCooked(etherType: number, bytes: Uint8Array, wireLength: number): Packet | Drop {
  return decodeTyped(new ByteCursor(bytes), etherType, wireLength);
}

/** IEEE 802.1Q § 9: a tag is its ethertype, two bytes of priority and VLAN number, and then the next ethertype. */
function decodeTyped(cursor: ByteCursor, etherType: number, wireLength: number): Packet | Drop {
  if (cursor.failed) return TRUNCATED;
  let type = etherType;
  let left = wireLength;
  for (let tags = 0; type === DOT1Q || type === DOT1AD || type === QINQ; tags++) {
    if (tags === MAX_TAGS) return NOT_IP;
    cursor.skip(2);
    type = cursor.u16();
    if (cursor.failed) return TRUNCATED;
    left -= 4;
  }
  if (type === IPV4) return decodeIpv4At(cursor, left);
  if (type === IPV6) return decodeIpv6At(cursor, left);
  return NOT_IP;
}

/** BSD loopback: the address family, in network order (LOOP) or that of whoever wrote the file (NULL), so both are read. */
function decodeLoopback(cursor: ByteCursor, wireLength: number): Packet | Drop {
  const high = cursor.u16();
  const low = cursor.u16();
  if (cursor.failed) return TRUNCATED;
  const family = high === 0 ? low : low === 0 ? swap16(high) : 0;
  switch (family) {
    case 2:
      return decodeIpv4At(cursor, wireLength);
    case 10: // Linux
    case 24: // NetBSD, OpenBSD
    case 28: // FreeBSD
    case 30: // macOS
      return decodeIpv6At(cursor, wireLength);
    default:
      return NOT_IP;
  }
}

function swap16(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}
