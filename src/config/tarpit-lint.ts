/** What [tarpit] has to agree with: its port belongs to nobody else, and the firewall can lead banned sources there. */

import type { PortRange } from '../core/policy.ts';
import { holdsPort, printPorts, printStep } from './ports.ts';
import type { PosternConfig } from './postern-config.ts';
import { finding, quote } from './problem.ts';
import { printDuration } from './quantity.ts';
import type { PathFinding } from './schema-problems.ts';
import type { Surroundings } from './surroundings-lint.ts';

/** The drivers that can lead a banned source elsewhere. */
const ABLE: readonly string[] = ['nftables', 'iptables'];

/** Errors and warnings. */
export function* judgeTarpit(config: PosternConfig, { localPorts }: Surroundings = {}): Generator<PathFinding> {
  const { tarpit, firewall, mode } = config;
  if (tarpit === undefined) return;
  if (!ABLE.includes(firewall.driver)) {
    const message = `The driver ${quote(firewall.driver)} cannot hold banned sources in a tarpit`;
    const hint = 'Remove the section [tarpit], or use the driver "nftables" or "iptables"';
    yield { path: ['tarpit'], about: finding('error', message, hint) };
  }
  const use = usedBy(tarpit.port, config);
  if (use !== undefined) {
    const message = `The tarpit cannot have the port ${tarpit.port}: it is ${use}`;
    yield {
      path: ['tarpit', 'port'],
      about: finding('error', message, 'Write another port in [tarpit] that nothing else uses'),
    };
  }
  const { first = 1, last = 0, reserved = [] } = localPorts ?? {};
  if (first <= tarpit.port && tarpit.port <= last && !reserved.includes(tarpit.port)) {
    const message = `The port ${tarpit.port} of the tarpit is among those of this host's own traffic (${first}-${last}): it may be taken at the start`;
    const hint = `Write another port, or reserve it: sysctl -w net.ipv4.ip_local_reserved_ports=${tarpit.port}`;
    yield { path: ['tarpit', 'port'], about: finding('warning', message, hint) };
  }
  if (tarpit.duration < tarpit.every) {
    const message = `A connection is held for ${printDuration(tarpit.duration)} and gets a line every ${printDuration(tarpit.every)}: none`;
    yield { path: ['tarpit', 'for'], about: finding('warning', message, 'Write a longer time for "for"') };
  }
  if (tarpit.perSource >= tarpit.connections && tarpit.connections > 1) {
    const message = `One source may have all ${tarpit.connections} connections of the tarpit`;
    const hint = `Write a smaller number for per_source than the ${tarpit.connections} connections`;
    yield { path: ['tarpit', 'per_source'], about: finding('warning', message, hint) };
  }
  if (mode === 'observe') {
    const message = 'Nobody is held in the tarpit: in mode "observe" no source is kept out';
    yield { path: ['tarpit'], about: finding('warning', message, 'Leave mode out when you have seen enough') };
  }
}

function usedBy(port: number, { doors, traps, publicPorts }: PosternConfig): string | undefined {
  const step = { protocol: 'tcp', port } as const;
  const among = (ranges: readonly PortRange[]): PortRange | undefined =>
    ranges.find((range) => holdsPort([range], step));
  for (const { name, protect, knock } of doors) {
    const range = among(protect);
    if (range) return `behind the door ${quote(name)} ("${printPorts(range)}")`;
    if (knock?.steps.some((each) => each.protocol === 'tcp' && each.port === port))
      return `a step of the door ${quote(name)} ("${printStep(step)}")`;
  }
  const trap = among(traps);
  if (trap) return `a trap ("${printPorts(trap)}")`;
  const open = among(publicPorts);
  return open && `a public port ("${printPorts(open)}")`;
}
