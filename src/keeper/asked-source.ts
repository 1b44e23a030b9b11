/** Sources that people name to the daemon: what is no address, or must not be let in, is refused in words. */

import { Refusal } from '../control/controlled.ts';
import { type Address, isHost, isLinkLocal, parseAddress } from '../core/address.ts';

export function readSource(text: string): Address {
  const source = parseAddress(text);
  if (!source) throw new Refusal(`"${text}" is not an IPv4 or IPv6 address`);
  return source;
}

export function readHost(text: string): Address {
  const source = parseAddress(text);
  if (!source || !isHost(source)) throw new Refusal(`"${text}" is not the address of a host`);
  return source;
}

/** One that is to be let in: not a network of strangers. */
export function readGuest(text: string, ipv6Prefix: number): Address {
  const source = readHost(text);
  if (standsForItsLink(source, ipv6Prefix))
    throw new Refusal(
      `Cannot let in ${text}: it is an address of the link, and would stand for everybody on it\nhint: Name another address of that host, or write ipv6_prefix = 128 in [firewall]`,
    );
  return source;
}

/** Would a grant be for the whole link? fe80::/64 is the network of all that are on it, a hoster's other customers perhaps. */
export function standsForItsLink(source: Address, ipv6Prefix: number): boolean {
  return isLinkLocal(source) && ipv6Prefix < 128;
}
