/** Addresses as the bytes that key an nftables set: network order, 4 of IPv4, 16 of IPv6. */

import { type Address, type Family, family, ipv4 } from '../core/address.ts';
import type { Protocol } from '../core/door.ts';

export function keyOf(address: Address): Uint8Array {
  const { a, b, c, d } = address;
  const words = family(address) === 4 ? [d] : [a, b, c, d];
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setInt32(index * 4, word);
  return bytes;
}

/** The address at the front of a key; undefined when the key is too short for one. */
export function addressOf(key: Uint8Array, version: Family): Address | undefined {
  if (key.length < (version === 4 ? 4 : 16)) return undefined;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  if (version === 4) return ipv4(view.getInt32(0));
  return { a: view.getInt32(0), b: view.getInt32(4), c: view.getInt32(8), d: view.getInt32(12) };
}

/** A session's key in a live set: its address, source port and port, each filled up to four bytes. */
export function portOfSessionKey(key: Uint8Array, version: Family): number {
  const at = version === 4 ? 8 : 20;
  return ((key[at] ?? 0) << 8) | (key[at + 1] ?? 0);
}

/** What was tried, of a key in a set of tries: its address, protocol and port, each filled up to four bytes. */
export function triedOf(
  key: Uint8Array,
  version: Family,
): { readonly protocol: Protocol; readonly port: number } | undefined {
  const at = version === 4 ? 4 : 16;
  const protocol = key[at] === 6 ? 'tcp' : key[at] === 17 ? 'udp' : undefined;
  return protocol && { protocol, port: ((key[at + 4] ?? 0) << 8) | (key[at + 5] ?? 0) };
}
