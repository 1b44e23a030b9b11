/**
 * The addresses of this machine's interfaces, as getifaddrs(3) lists them. Node's own list leaves out what has no carrier, which for
 * up to a second after it came up is every interface.
 */

import { readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { type Address, family, ipv4, parseAddress, sameAddress } from '../core/address.ts';
import { interfaceAddresses } from './libc.ts';

/** Addresses of one interface, or of all for `any`, in the system's order; IPv4 only unless `ipv6`. Empty when it has none or is gone. */
export function addressesOf(name: string, ipv6: boolean): readonly Address[] {
  const all = process.platform === 'linux' ? fromLibrary() : fromNode();
  return all
    .filter((entry) => name === 'any' || entry.name === name)
    .map((entry) => entry.address)
    .filter((address) => ipv6 || family(address) === 4);
}

/** The interfaces that have this address: one, or more where it is shared. */
export function interfacesWith(address: Address): readonly string[] {
  return interfaceNames().filter((name) => addressesOf(name, true).some((each) => sameAddress(each, address)));
}

/** The interfaces there are, with or without addresses. */
export function interfaceNames(): readonly string[] {
  try {
    return readdirSync('/sys/class/net');
  } catch {
    return Object.keys(networkInterfaces());
  }
}

interface InterfaceAddress {
  readonly name: string;
  readonly address: Address;
}

const AF_INET = 2;
const AF_INET6 = 10;

function fromLibrary(): InterfaceAddress[] {
  return interfaceAddresses().flatMap(({ name, address: bytes }) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const version = view.getUint16(0, true);
    // An alias (eth0:1) is a label of an address, not an interface.
    const device = name.replace(/:.*$/, '');
    if (version === AF_INET) return [{ name: device, address: ipv4(view.getInt32(4)) }];
    if (version !== AF_INET6) return [];
    const [a, b, c, d] = [8, 12, 16, 20].map((at) => view.getInt32(at)) as [number, number, number, number];
    return [{ name: device, address: { a, b, c, d } }];
  });
}

function fromNode(): InterfaceAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, entries = []]) =>
    entries.flatMap((entry) => {
      const address = parseAddress(entry.address);
      return address ? [{ name, address }] : [];
    }),
  );
}
