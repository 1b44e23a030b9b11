/** A door in words for people and programs: `postern show`, status, the control socket. */

import type { DoorShown } from '../control/controlled.ts';
import type { DoorPolicy, PortRange } from '../core/policy.ts';

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
