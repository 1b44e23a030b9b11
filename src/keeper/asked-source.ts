/** The source that somebody names who asks for something. */

import { Refusal } from '../control/controlled.ts';
import { type Address, isHost, parseAddress } from '../core/address.ts';

/** Throws a `Refusal` for what is no address. */
export function readSource(text: string): Address {
  const source = parseAddress(text);
  if (!source) throw new Refusal(`"${text}" is not an IPv4 or IPv6 address`);
  return source;
}

/** The same, for a source that packets can come from. */
export function readHost(text: string): Address {
  const source = readSource(text);
  if (!isHost(source)) throw new Refusal(`"${text}" is not the address of a host`);
  return source;
}
