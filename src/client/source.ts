/**
 * Which local address a knock comes from. Binding to an interface itself takes privilege on most systems, so an interface means its first
 * address of the right family; where routing goes by source address, the packet then also leaves there.
 */

import type { NetworkInterfaceInfo } from 'node:os';
import { type Family, parseAddress } from '../core/address.ts';
import type { HostAddress } from './resolve.ts';

/** What `os.networkInterfaces()` returns. */
export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** Where to, and where from: the sockets' own text, with zones. */
export interface Route {
  readonly to: HostAddress;
  readonly from: string | undefined;
}

/** A source that can't be: no such interface, or none of the host's addresses is of its family. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

/** The host's first address that `source` (a local address) can reach; throws `SourceError`. */
export function routeFromAddress(source: string, hosts: readonly HostAddress[]): Route {
  const family = familyOf(source);
  const to = hosts.find((host) => host.family === family);
  if (!to) throw new SourceError(`The host has no ${printFamily(family)} address to reach from "${source}"`);
  return { to, from: source };
}

/**
 * The host's first address that the interface has an address for; throws `SourceError`. A link-local host without a zone gets the
 * interface's, and is knocked at from the interface's link-local address.
 */
export function routeFromInterface(name: string, hosts: readonly HostAddress[], interfaces: Interfaces): Route {
  const own = interfaces[name];
  if (!own) throw new SourceError(`Interface "${name}" does not exist, is down, or has no address`);
  for (const to of hosts) {
    const family = own.filter((info) => info.family === `IPv${to.family}`);
    const linkLocal = isLinkLocal(to.address);
    const info = family.find((candidate) => isLinkLocal(candidate.address) === linkLocal) ?? family[0];
    if (!info) continue;
    return { to: { ...to, address: withZone(to.address, name, info) }, from: withZone(info.address, name, info) };
  }
  const families = [...new Set(hosts.map((host) => printFamily(host.family)))].join(' or ');
  throw new SourceError(`Interface "${name}" has no ${families} address`);
}

function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

function printFamily(family: Family): string {
  return `IPv${family}`;
}

/** fe80::/10 (RFC 4291 § 2.5.6): means nothing without the link it is on. */
function isLinkLocal(address: string): boolean {
  const parsed = parseAddress(address.split('%')[0] ?? '');
  return parsed !== undefined && (parsed.a & 0xffc00000) === (0xfe800000 | 0);
}

/** Windows names a zone by the interface's number, everybody else by its name. */
function withZone(address: string, name: string, info: NetworkInterfaceInfo): string {
  if (!isLinkLocal(address) || address.includes('%')) return address;
  return `${address}%${process.platform === 'win32' && info.family === 'IPv6' ? info.scopeid : name}`;
}
