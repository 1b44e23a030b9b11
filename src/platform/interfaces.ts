/** The addresses of this machine's interfaces, as getifaddrs(3) lists those that are up. */

import { networkInterfaces } from 'node:os';
import { type Address, family, parseAddress } from '../core/address.ts';

/** Addresses of one interface, or of all for `any`, in the system's order; IPv4 only unless `ipv6`. Empty when it has none or is gone. */
export function addressesOf(name: string, ipv6: boolean): readonly Address[] {
  const all = networkInterfaces();
  const entries = name === 'any' ? Object.values(all).flat() : (all[name] ?? []);
  return entries.flatMap((entry) => {
    const address = entry && parseAddress(entry.address);
    return address && (ipv6 || family(address) === 4) ? [address] : [];
  });
}
