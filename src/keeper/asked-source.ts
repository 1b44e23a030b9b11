/**
 * Sources that people name to the daemon: what is no address, or must not be let in, is refused in words.
 *
 * A source may be written as it is shown: an IPv6 network with its length (`2001:db8:9::/64`), when that is the length by which sources are
 * kept; an IPv4 address with `/32`. Other blocks are nobody's: they belong into the configuration.
 */

import { Refusal } from '../control/controlled.ts';
import { type Address, family, isHost, isLinkLocal, parseAddress } from '../core/address.ts';

export function readSource(text: string, ipv6Prefix: number): Address {
  const slash = text.indexOf('/');
  const source = parseAddress(slash === -1 ? text : text.slice(0, slash));
  if (!source) throw new Refusal(`"${text}" is not an IPv4 or IPv6 address`);
  const length = slash === -1 ? undefined : text.slice(slash + 1);
  const kept = family(source) === 4 ? 32 : ipv6Prefix;
  if (length === undefined || length === String(kept)) return source;
  const what = family(source) === 4 ? 'IPv4 sources are taken one by one' : `IPv6 sources are taken by their /${kept}`;
  throw new Refusal(
    `Cannot take the block "${text}": ${what}\nhint: Name an address of it; to trust a block, write it into allow in postern.toml; to drop one, into a firewall of your own`,
  );
}

export function readHost(text: string, ipv6Prefix: number): Address {
  const source = readSource(text, ipv6Prefix);
  if (!isHost(source)) throw new Refusal(`"${text}" is not the address of a host`);
  return source;
}

/** One that is to be let in: not a network of strangers. */
export function readGuest(text: string, ipv6Prefix: number): Address {
  const source = readHost(text, ipv6Prefix);
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
