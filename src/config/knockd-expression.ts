/**
 * The text of knockd's capture filter, which `knockd -D` prints for every door. Only the text: what we attach to the socket
 * is built in `core/`. knockd lists the addresses of a family in reverse order of discovery, repeats a target once per local
 * address, and prints all doors for IPv4, then all doors for IPv6.
 */

import { type Address, type Family, family, printAddress } from '../core/address.ts';
import type { Step, TcpFlags } from '../core/door.ts';
import { FLAG_BITS } from './knockd-values.ts';

export interface ExpressedDoor {
  readonly knock: { readonly name: string; readonly steps: readonly Step[]; readonly tcpFlags: TcpFlags };
  /** The text of `Target` as written. */
  readonly targetText?: string;
}

/** knockd's filter for one door and one family; `addresses` holds that family alone, in order of discovery. */
export function printExpression(door: ExpressedDoor, addresses: readonly Address[], version: Family): string {
  const hosts = addresses
    .map((address) => `dst host ${door.targetText ?? printAddress(address)}`)
    .reverse()
    .join(' or ');
  const ports = (protocol: string): string =>
    door.knock.steps
      .filter((step) => step.protocol === protocol)
      .map((step) => step.port)
      .join(' or ');
  const tcp = ports('tcp');
  const udp = ports('udp');
  const parts: string[] = [];
  if (tcp !== '') parts.push(`((tcp dst port ${tcp})${printFlags(door.knock.tcpFlags, version)})`);
  if (udp !== '') parts.push(`(udp dst port ${udp})`);
  return `((${hosts}) and (${parts.join(' or ')}))`;
}

/**
 * The `adding pcap expression for door ...` lines of a start, for all local addresses in order of discovery. Leave the IPv6
 * addresses out for `-4`. Without an address (the interface `any`, or none configured) knockd sets no filter and prints none.
 */
export function printExpressions(doors: readonly ExpressedDoor[], addresses: readonly Address[]): string[] {
  const versions: Family[] = [4, 6];
  return versions.flatMap((version) => {
    const own = addresses.filter((address) => family(address) === version);
    if (own.length === 0) return [];
    return doors.map(
      (door) => `adding pcap expression for door '${door.knock.name}': ${printExpression(door, own, version)}`,
    );
  });
}

function printFlags(flags: TcpFlags, version: Family): string {
  // 13 is the offset of the flags in the TCP header, 40 the length of an IPv6 header without extensions.
  const field = version === 4 ? 'tcp[tcpflags]' : 'ip6[13+40]';
  let text = '';
  for (const [name, bit] of FLAG_BITS) {
    const term = ` and ${field} & tcp-${name === 'PSH' ? 'push' : name.toLowerCase()}`;
    if (flags.set & bit) text += `${term} != 0`;
    else if (flags.clear & bit) text += `${term} == 0`;
  }
  return text;
}
