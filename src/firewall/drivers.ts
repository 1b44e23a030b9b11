/** The drivers by the names that the configuration knows them by, and the face that `auto` stands for on this host. */

import { type Face, type FirewallDriver, FirewallError, type Guard } from './driver.ts';
import { openIpfw } from './ipfw.ts';
import { openIptables } from './iptables.ts';
import { openNftables } from './nftables.ts';
import { openPf } from './pf.ts';
import { probeFace } from './preflight.ts';

export interface DriverOptions {
  /** Told what went wrong without undoing what was asked for, e.g. sessions that could not be reset. */
  readonly warn?: (message: string) => void;
}

const DRIVERS: Readonly<Record<string, (options: DriverOptions) => FirewallDriver>> = {
  nftables: openNftables,
  iptables: openIptables,
  ipfw: openIpfw,
  pf: openPf,
};

/** The drivers for firewalls that this kind of system can have. */
export function driversHere(): readonly string[] {
  if (process.platform === 'linux') return ['nftables', 'iptables'];
  return process.platform === 'freebsd' ? ['pf', 'ipfw'] : ['pf'];
}

/** Opens the driver. Throws a `FirewallError` where this host has no such firewall, or we no such driver. */
export function openDriver(name: string, options: DriverOptions = {}): FirewallDriver {
  const open = Object.hasOwn(DRIVERS, name) && driversHere().includes(name) ? DRIVERS[name] : undefined;
  if (open === undefined) throw new FirewallError(`Cannot use firewall "${name}": this system has none of that name`);
  return open(options);
}

/** What closed ports should look like: `auto` is what this host does with unused ports, and `drop` when its rules do not tell. */
export async function resolveFace(face: Face | 'auto'): Promise<Pick<Guard, 'face' | 'unused'>> {
  if (face === 'drop' || face === 'reset') return { face };
  const probed = await probeFace();
  if (face === 'auto' && probed !== 'mirror') return { face: probed ?? 'drop' };
  return { face: 'mirror', unused: probed === 'reset' ? 'reset' : 'drop' };
}
