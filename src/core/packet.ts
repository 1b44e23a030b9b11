/** A stranger's packet after decoding, and the closed list of reasons why one never becomes a `Packet`. */

import type { Address } from './address.ts';
import type { Protocol } from './door.ts';

export interface Packet {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: Protocol;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** TCP flag bits; 0 for UDP. */
  readonly flags: number;
  /** TCP sequence number as a signed 32-bit integer, to tell a retransmission from a new packet; 0 for UDP. */
  readonly sequence: number;
  /** Bytes of the IP packet on the wire, without the link header. */
  readonly length: number;
}

export const DROP_REASONS = [
  'truncated', // a header says more than was captured
  'link-type', // not IP: ARP, LLDP, an unknown link layer
  'ip-header', // version, header length or total length contradict each other
  'fragment', // any fragment, first or later: ports of a whole packet are what counts
  'extension', // an IPv6 header chain that is too long or unknown
  'mapped-source', // an IPv6 packet from or to ::ffff:0:0/96, which no honest host sends
  'protocol', // neither TCP nor UDP
  'tcp-header',
  'udp-header',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

export interface Drop {
  readonly drop: DropReason;
}
