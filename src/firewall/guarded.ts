/** What every driver asks of the guard that it has put in force. */

import type { Address } from '../core/address.ts';
import { blockOf, type Prefix } from '../core/policy.ts';
import { FirewallError, type Guard } from './driver.ts';

/** What the firewall keeps a source by. */
export function blockIn(guard: Guard | undefined, source: Address): Prefix {
  if (guard === undefined) throw new FirewallError('The guard is not installed yet');
  return blockOf(source, guard.ipv6Prefix);
}

/** For firewalls that would make what is not there; `what` is what cannot be done without the door. */
export function checkDoor(guard: Guard | undefined, door: string, what: string): void {
  if (guard?.doors.some(({ name }) => name === door)) return;
  throw new FirewallError(`Cannot ${what}: the guard has no such door`);
}
