/** Address blocks: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. Bits behind the length are an error, because they are a slip. */

import { type Address, family, isHost, parseAddress, printAddress } from '../core/address.ts';
import type { Prefix } from '../core/policy.ts';
import { quote } from './problem.ts';
import { fault, type Reading } from './reading.ts';

/** What may be an address or a block, for editors: the reader is stricter. */
export const PREFIX_PATTERN = '^([0-9.]{7,15}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(/[0-9]{1,3})?$';

/** Reads an address or a block in CIDR notation. */
export function parsePrefix(text: string): Reading<Prefix> {
  const message = `Cannot read the address ${quote(text)}`;
  const slash = text.indexOf('/');
  const written = slash === -1 ? text : text.slice(0, slash);
  const address = parseAddress(written);
  if (!address) return fault(message, hintFor(text));
  if (family(address) === 4 && written.includes(':')) {
    return fault(`${message}: it is an IPv4 address`, `Write "${printAddress(address)}"`);
  }
  const width = family(address) === 4 ? 32 : 128;
  const bits = slash === -1 ? String(width) : text.slice(slash + 1);
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(bits) || Number(bits) > width) {
    const length = netmaskLength(bits);
    const hint = length === undefined ? `Write a length from 0 to ${width} after "/"` : `Write "${written}/${length}"`;
    return fault(message, hint);
  }
  const length = Number(bits);
  const masked = maskAddress(address, length);
  if (printAddress(masked) !== printAddress(address)) {
    const hint = `Write "${printAddress(masked)}/${length}" for the block, or "${printAddress(address)}" for the one address`;
    return fault(`${message}: bits are set behind the length`, hint);
  }
  if (length === width && !isHost(address)) {
    const all = width === 32 ? '0.0.0.0/0' : '::/0';
    return fault(`${message}: no packet comes from it`, `Write "${all}" for everybody, or an address of a host`);
  }
  return { value: { address, length } };
}

function hintFor(text: string): string {
  if (/^(?:any|all|everybody|\*)$/i.test(text.trim()))
    return 'Write "0.0.0.0/0" and "::/0", or leave the list out: then everybody may knock';
  if (/^\s|\s$/.test(text)) return `Write "${text.trim()}"`;
  if (/[g-z]/i.test(text)) return 'Write the address: host names are not looked up';
  return 'Write an address or a block, such as "192.0.2.7" or "2001:db8::/32"';
}

/** The bits of `255.255.255.0`. */
function netmaskLength(text: string): number | undefined {
  const mask = parseAddress(text);
  if (!mask || text.includes(':')) return undefined;
  const length = Math.clz32(~mask.d);
  return (mask.d | 0) === (length === 0 ? 0 : -1 << (32 - length)) ? length : undefined;
}

/** The address with the bits behind the first `length` of its family off. */
export function maskAddress(address: Address, length: number): Address {
  const bits = length + (family(address) === 4 ? 96 : 0);
  const mask = (word: number, index: number): number => {
    const left = bits - index * 32;
    return left >= 32 ? word : left <= 0 ? 0 : word & (-1 << (32 - left));
  };
  return { a: mask(address.a, 0), b: mask(address.b, 1), c: mask(address.c, 2), d: mask(address.d, 3) };
}

export function printPrefix({ address, length }: Prefix): string {
  const width = family(address) === 4 ? 32 : 128;
  return length === width ? printAddress(address) : `${printAddress(address)}/${length}`;
}
