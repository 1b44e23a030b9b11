/**
 * What the nftables guard writes down of the packets that a capture filter cannot tell from traffic: datagrams that were refused, and ACKs that
 * belong to no session (`nmap -sA`, `-sM`), to protected ports and to traps. The kernel's verdict is the evidence: who has a grant or a session is never
 * written down, and costs nothing.
 *
 * `tried4` and `tried6` have a source, a protocol and a port for a minute from the first packet on; more of the same do not prolong it, and a
 * full set takes no more. Nothing is dropped or let in by these rules.
 */

import type { Family } from '../core/address.ts';
import type { PortRange } from '../core/policy.ts';

export const TRIED_SIZE = 4096;
/** Milliseconds that a try is written down for. */
export const TRIED_FOR = 60_000;

const ACK_ALONE = 'tcp flags & (syn | rst | ack) == ack';

export function triedSet(version: Family): string {
  return `tried${version}`;
}

export function triedSetText(version: Family): { readonly name: string; readonly text: string } {
  const name = triedSet(version);
  const type = `ipv${version}_addr . inet_proto . inet_service`;
  const bounds = `flags dynamic,timeout; timeout ${TRIED_FOR / 1000}s; size ${TRIED_SIZE}`;
  return { name, text: `  set ${name} { type ${type}; ${bounds}; }` };
}

/** The rules before a refusal. */
export function triedRules(protocol: 'tcp' | 'udp'): string[] {
  const which = protocol === 'tcp' ? `${ACK_ALONE} ` : '';
  return ([4, 6] as const).map((version) => `meta nfproto ipv${version} ${which}${writeDown(version, protocol)}`);
}

/** The rule for traps, where nothing is refused; behind what lets sessions and the trusted pass. */
export function trapRules(version: Family, traps: readonly PortRange[]): string[] {
  const ports = traps
    .filter(({ protocol }) => protocol === 'tcp')
    .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
  return ports.map((port) => `tcp dport ${port} ${ACK_ALONE} fib daddr type local ${writeDown(version, 'tcp')}`);
}

function writeDown(version: Family, protocol: 'tcp' | 'udp'): string {
  return `add @${triedSet(version)} { ${version === 4 ? 'ip' : 'ip6'} saddr . meta l4proto . ${protocol} dport }`;
}
