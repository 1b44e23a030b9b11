/** What the host has to do with a configuration: firewalls it has, interfaces, programs of hooks. What is not known of it is not judged. */

import type { Step } from '../core/door.ts';
import type { PosternConfig } from './postern-config.ts';
import { finding, quote } from './problem.ts';
import type { PathFinding } from './schema-problems.ts';

export interface Surroundings {
  /** Ports that somebody listens on. */
  readonly listening?: readonly Step[];
  /** Where the host takes the local ports of its own traffic from (net.ipv4.ip_local_port_range), less those reserved. */
  readonly localPorts?: { readonly first: number; readonly last: number; readonly reserved: readonly number[] };
  /** Firewalls that this kind of system can have, by the names of drivers. */
  readonly drivers?: readonly string[];
  readonly interfaces?: readonly string[];
  /** Is there a program at this path, to be run? */
  readonly canRun?: (path: string) => boolean;
}

export function* lintSurroundings(
  { firewall, capture, doors }: PosternConfig,
  { drivers, interfaces, canRun }: Surroundings,
): Generator<PathFinding> {
  if (drivers && !drivers.includes(firewall.driver)) {
    const message = `Cannot use the driver ${quote(firewall.driver)}: this system has no such firewall`;
    const about = finding('error', message, `Write one of ${drivers.map(quote).join(', ')}, or leave driver out`);
    yield { path: ['firewall', 'driver'], about };
  }
  for (const name of interfaces ? capture.interfaces : []) {
    if (name === 'any' || interfaces?.includes(name)) continue;
    const message = `There is no interface ${quote(name)}: the daemon does not start before it is there`;
    const about = finding('warning', message, `The interfaces here are ${interfaces?.join(', ')}`);
    yield { path: ['capture', 'interfaces'], about };
  }
  if (!canRun) return;
  const programs = [
    { path: ['firewall', 'command'], argv: firewall.command },
    ...doors.flatMap(({ name, hooks }) => [
      { path: ['door', name, 'on_open'], argv: hooks.onOpen },
      { path: ['door', name, 'on_close'], argv: hooks.onClose },
    ]),
  ];
  for (const { path, argv } of programs) {
    const program = argv?.[0];
    if (program === undefined || canRun(program)) continue;
    const message = `The program ${quote(program)} is not there, or must not be run`;
    yield { path, about: finding('warning', message, 'Correct its path, or make it executable (chmod +x)') };
  }
}
