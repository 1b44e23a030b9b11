/** Doors and grants in words for people and programs: `postern show`, status, the control socket. */

import type { DoorShown, GrantStatus } from '../control/controlled.ts';
import { printAddress } from '../core/address.ts';
import type { DoorPolicy, PortRange } from '../core/policy.ts';
import type { LiveGrant } from './grants.ts';
import { prefixOf } from './warden-config.ts';

/** `tcp/22`, `tcp/8000-8010`. */
export function printPorts({ protocol, first, last }: PortRange): string {
  return first === last ? `${protocol}/${first}` : `${protocol}/${first}-${last}`;
}

export function describeDoor(door: DoorPolicy): DoorShown {
  const { knock } = door;
  return {
    name: door.name,
    protect: door.protect.map(printPorts),
    open_for_ms: door.openFor,
    renew: door.renew,
    close: door.close,
    ...(knock && { steps: knock.steps.map((step) => `${step.protocol}/${step.port}`), within_ms: knock.window }),
  };
}

/** `now` is monotonic, as the grant's end is. */
export function describeGrant(grant: LiveGrant, now: number, ipv6Prefix: number): GrantStatus {
  return {
    source: printAddress(grant.source),
    ...prefixOf(grant.source, ipv6Prefix),
    remaining_ms: Math.max(0, Math.round(grant.until - now)),
    via: grant.via,
    ...(grant.user !== undefined && { user: grant.user }),
  };
}
