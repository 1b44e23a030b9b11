/**
 * The firewall: what this host's own rules do with the doors, and whether the guard that should stand does, in the kernel and over both
 * families. Needs the right to look.
 */

import { type PosternConfig, tarpitPort } from '../config/postern-config.ts';
import { type GuardFault, judgeGuard } from '../firewall/guard-judgement.ts';
import { type HostListing, listHost } from '../firewall/host-listing.ts';
import { preflight } from '../firewall/preflight.ts';
import { CAP_NET_ADMIN, hasCapability } from '../platform/capabilities.ts';
import { broken, type Diagnosis, ok, warning } from './diagnosis.ts';

export interface FirewallQuestion {
  /** What the host's rules are judged for. */
  readonly config: PosternConfig;
  /** What is, or should be, in force; absent where nobody knows. */
  readonly inForce: PosternConfig | undefined;
  /** The command that puts the guard back. */
  readonly remedy: string;
}

export async function judgeFirewall({ config, inForce, remedy }: FirewallQuestion): Promise<readonly Diagnosis[]> {
  if (process.platform !== 'linux' || !hasCapability(CAP_NET_ADMIN)) return [];
  const { face, driver } = config.firewall;
  const listing = await listHost();
  const found = await preflight(config.doors, face, driver, tarpitPort(config), listing);
  const told = found.map(({ severity, message, hint }) =>
    (severity === 'error' ? broken : warning)('firewall', message, hint),
  );
  const host = told.length > 0 ? told : [ok('firewall', `${driver}: this host's own rules let in who has a grant`)];
  return [...host, ...(inForce ? judgeStanding(inForce, listing, remedy) : [])];
}

/** What the kernel has of the guard. */
export function judgeStanding(config: PosternConfig, listing: HostListing, remedy: string): readonly Diagnosis[] {
  const { doors, mode, firewall } = config;
  const { driver, face } = firewall;
  const observe = mode === 'observe';
  if (doors.length === 0) return [];
  const faults = judgeGuard({ doors, driver, face, observe }, listing);
  if (faults === undefined)
    return [ok('firewall', `${driver}: whether its rules stand, over IPv4 and over IPv6, is not looked at`)];
  if (faults.length === 0)
    return [
      ok('firewall', `${driver}: the guard stands${observe ? '' : ', over IPv4 and IPv6'}, with every door of it`),
    ];
  return faults.map((fault) => describeFault(fault, observe, remedy));
}

function describeFault(fault: GuardFault, observe: boolean, remedy: string): Diagnosis {
  if (fault.what === 'missing')
    return broken(
      'firewall',
      observe
        ? 'The guard is not in the kernel: nothing is counted'
        : 'The guard is not in the kernel: every door is open to everybody',
      remedy,
    );
  const { protocol, first, last } = fault.segment;
  const port = `${protocol}/${first === last ? first : `${first}-${last}`}`;
  if (fault.what === 'shut')
    return broken(
      'firewall',
      `No knock opens ${port} of door "${fault.door}" over IPv${fault.version}: the guard in the kernel has no rule for it`,
      remedy,
    );
  const doors = fault.segment.doors.map((name) => `"${name}"`).join(', ');
  const [version] = fault.versions;
  const where =
    fault.versions.length > 1
      ? 'over IPv4 and IPv6'
      : `over IPv${version} while IPv${version === 4 ? 6 : 4} is guarded`;
  if (fault.certain) return broken('firewall', `${port} of door ${doors} is open to everybody ${where}`, remedy);
  return warning(
    'firewall',
    `${port} of door ${doors} may be open ${where}: somebody has put rules into the guard`,
    remedy,
  );
}
