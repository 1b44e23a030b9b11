/**
 * From a right knock, or an administrator's word, to an open door: a ban that points have brought about ends, also one that fell while the door
 * was being opened. Whoever looks last, here or where bans are made (`strangers.ts`), finds the other's work. A ban by hand keeps out.
 */

import { type Address, printAddress } from '../core/address.ts';
import type { HistoryEvent, Via } from '../core/history.ts';
import type { Grants, Opening } from './grants.ts';

export interface AdmissionPorts {
  readonly visitors: {
    /** False when a ban keeps this source out; ends one that does not. */
    knocked(source: Address): Promise<boolean>;
    /** Counts a right knock of who may not come in. */
    denied(source: Address, door: string): void;
  };
  readonly grants: Pick<Grants, 'open'>;
  readonly record: (event: HistoryEvent) => void;
}

export type Admission = Opening | { readonly denied: 'banned'; readonly detail: string };

const NOT_ADMITTED: ReadonlySet<string> = new Set(['source', 'limit']);

/** Opens a door, unless a person has banned the source. */
export async function admit(
  ports: AdmissionPorts,
  door: string,
  source: Address,
  how: { readonly via: Via; readonly user?: string; readonly duration?: number },
): Promise<Admission> {
  const { visitors, grants, record } = ports;
  const { via } = how;
  if (!(await visitors.knocked(source))) {
    if (via === 'knock') {
      record({ type: 'denied', door, source: printAddress(source), reason: 'banned', via });
      visitors.denied(source, door);
    }
    return { denied: 'banned', detail: 'it is banned (postern unban ends that)' };
  }
  const opening = await grants.open(door, source, how);
  if ('opened' in opening) await visitors.knocked(source);
  else if (via === 'knock' && NOT_ADMITTED.has(opening.denied)) visitors.denied(source, door);
  return opening;
}
