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
  'truncated', // a header that is read says more than was captured
  'link-type', // not IP: ARP, LLDP, an unknown link layer, a stack of tags without end
  'ip-header', // version, header length, total length and frame length contradict each other
  'fragment', // any fragment, first, later or atomic: ports of a whole packet are what counts
  'extension', // an IPv6 header chain that is too long, out of order, overruns its packet or has hops to go
  'mapped-source', // an IPv6 packet from or to ::ffff:0:0/96, which no honest host sends
  'source', // from an address that is no host's: unspecified, multicast or broadcast
  'protocol', // neither TCP nor UDP
  'tcp-header', // a header length below 20 or beyond the IP packet
  'udp-header', // a length below 8 or beyond the IP packet
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

export interface Drop {
  readonly drop: DropReason;
}
