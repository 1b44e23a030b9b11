/** The sets behind the rules of iptables: made, filled anew for another prefix, and rid of sessions. Grants in them outlive all of it. */

import { type Family, family, printAddress } from '../core/address.ts';
import { contains, type Prefix } from '../core/policy.ts';
import type { Guard } from './driver.ts';
import {
  addSource,
  allowSetName,
  banSetName,
  createSessions,
  createSources,
  createTries,
  liveSetName,
  openSetName,
  parseElements,
  type SetHeader,
  SWAP_SET,
  triedSetName,
} from './ipset.ts';
import { elementsOf, ipset, isMissingSet, restoreSets } from './ipset-tool.ts';

export interface SetPlan {
  readonly name: string;
  readonly version: Family;
  readonly holds: 'sources' | 'sessions' | 'tries';
}

/** Every set that the guard needs. */
export function setsOf(guard: Guard): SetPlan[] {
  return ([4, 6] as const).flatMap((version) => [
    { name: banSetName(version), version, holds: 'sources' as const },
    { name: allowSetName(version), version, holds: 'sources' as const },
    { name: liveSetName(version), version, holds: 'sessions' as const },
    { name: triedSetName(version), version, holds: 'tries' as const },
    ...guard.doors.map(({ name }) => ({ name: openSetName(name, version), version, holds: 'sources' as const })),
  ]);
}

/** Makes the sets that are missing. One that masks to another prefix is made again and filled from the old one. */
export async function makeSets(guard: Guard, sets: readonly SetPlan[], headers: readonly SetHeader[]): Promise<void> {
  const standing = new Map(headers.map((header) => [header.name, header]));
  const other = sets.filter(
    ({ name, version, holds }) =>
      holds === 'sources' && version === 6 && (standing.get(name)?.netmask ?? guard.ipv6Prefix) !== guard.ipv6Prefix,
  );
  const members = await elementsOf(other.map(({ name }) => name));
  const lines = other.flatMap(({ name }) => [
    createSources(SWAP_SET, 6, guard.ipv6Prefix),
    `flush ${SWAP_SET}`,
    ...members
      .filter(({ set }) => set === name)
      .map(({ source, remaining, comment }) =>
        Number.isFinite(remaining)
          ? addSource(SWAP_SET, source, remaining, comment)
          : `add ${SWAP_SET} ${printAddress(source)} timeout 0`,
      ),
    `swap ${SWAP_SET} ${name}`,
    `destroy ${SWAP_SET}`,
  ]);
  for (const { name, version, holds } of sets) {
    if (other.some((each) => each.name === name)) continue;
    if (holds === 'sources') lines.push(createSources(name, version, guard.ipv6Prefix));
    else lines.push(holds === 'sessions' ? createSessions(name, version) : createTries(name, version));
  }
  await restoreSets(lines);
}

/** Ends the leave of a source's sessions that are older than the guard. */
export async function forgetSessions(source: Prefix, onPort: (port: number) => boolean): Promise<void> {
  const set = liveSetName(family(source.address));
  try {
    const elements = parseElements(await ipset(['save', set]));
    const mine = elements.filter((element) => contains(source, element.source) && onPort(Number(element.comment)));
    await restoreSets(mine.map((element) => `del ${set} ${printAddress(element.source)},tcp:${element.port}`));
  } catch (error) {
    if (!isMissingSet(error)) throw error;
  }
}
