/** The drivers by the names that the configuration knows them by, and what this host is asked for the face of its closed ports. */

import { openCommand } from './command.ts';
import { type Face, type FirewallDriver, FirewallError, type Guard } from './driver.ts';
import { flowLabels } from './flow-labels.ts';
import { listHost } from './host-listing.ts';
import { openIpfw } from './ipfw.ts';
import { openIptables } from './iptables.ts';
import { openNftables } from './nftables.ts';
import { openPf } from './pf.ts';
import { probeAnswers } from './unused-ports.ts';

export interface DriverOptions {
  /** Told what went wrong without undoing what was asked for, e.g. sessions that could not be reset. */
  readonly warn?: (message: string) => void;
  /** The program of the driver `command`, and words that come before ours. */
  readonly command?: readonly string[];
}

const DRIVERS: Readonly<Record<string, (options: DriverOptions) => FirewallDriver>> = {
  nftables: openNftables,
  iptables: openIptables,
  ipfw: openIpfw,
  pf: openPf,
  command: ({ command: [program, ...words] = [], ...options }) => {
    if (program === undefined) throw new FirewallError('Cannot use firewall "command": no program is named');
    return openCommand({ ...options, command: [program, ...words] });
  },
};

/** The drivers for firewalls that this kind of system can have; a program of the administrator's own can be anywhere. */
export function driversHere(): readonly string[] {
  if (process.platform === 'linux') return ['nftables', 'iptables', 'command'];
  return process.platform === 'freebsd' ? ['pf', 'ipfw', 'command'] : ['pf', 'command'];
}

/** Opens the driver. Throws a `FirewallError` where this host has no such firewall, or we no such driver. */
export function openDriver(name: string, options: DriverOptions = {}): FirewallDriver {
  const open = Object.hasOwn(DRIVERS, name) && driversHere().includes(name) ? DRIVERS[name] : undefined;
  if (open === undefined) throw new FirewallError(`Cannot use firewall "${name}": this system has none of that name`);
  return open(options);
}

/** What closed ports should look like, and where it matters what this host answers at unused ones: nothing, when its rules do not tell. */
export async function resolveFace(face: Face, list = listHost): Promise<Pick<Guard, 'face' | 'closed' | 'labels'>> {
  if (face === 'drop') return { face };
  const [host, labels] = await Promise.all([probeAnswers(list), flowLabels()]);
  const answered = host && face !== 'reset' ? { face, closed: host } : { face };
  // Where a rule of the host's resets, unused ports have no labels either.
  return labels && (host === undefined || host[6].own) ? { ...answered, labels } : answered;
}
