/**
 * The guard as the kernel has it, against the one that should stand: is every protected port closed to a stranger, over IPv4 and over IPv6, and
 * has every door its rule for those who are let in? Asked of the rules themselves, walked as the kernel does: whoever changed them, and however.
 *
 * Of nftables and iptables only: what other firewalls hold is not looked at. Sets are not: who is in them is the keeper's matter.
 */

import type { Family } from '../core/address.ts';
import type { DoorPolicy } from '../core/policy.ts';
import type { Face } from './driver.ts';
import type { HostListing } from './host-listing.ts';
import { type HostChain, type HostTable, type Probe, type Walk, walk } from './host-rules.ts';
import { openSetName } from './ipset.ts';
import { parseStanding } from './iptables-rules.ts';
import { parseIptablesSave } from './iptables-save.ts';
import { isOfTable, type Json, nftTables, parseNftListing } from './nft-listing.ts';
import { openSet, TABLE } from './nft-rules.ts';
import { type PortSegment, portSegments } from './port-segments.ts';

export type GuardFault =
  /** There is nothing of it. */
  | { readonly what: 'missing' }
  /** Strangers get through, or may get through. */
  | {
      readonly what: 'open';
      readonly segment: PortSegment;
      readonly versions: readonly Family[];
      readonly certain: boolean;
    }
  /** Who has a grant does not get through: the rule that asks for it is missing. */
  | { readonly what: 'shut'; readonly segment: PortSegment; readonly door: string; readonly version: Family };

export interface GuardExpected {
  readonly doors: readonly DoorPolicy[];
  readonly driver: string;
  readonly face: Face;
  readonly observe: boolean;
}

const VERSIONS: readonly Family[] = [4, 6];

/** What one family's rules do. */
interface Standing {
  readonly stands: boolean;
  /** What becomes of a stranger's packet. */
  readonly strangers: (probe: Probe) => 'closed' | 'open' | 'unknown';
  readonly admits: (segment: PortSegment, door: string) => boolean;
}

/** Every fault; undefined where nobody can tell: another firewall, or rules that could not be read. */
export function judgeGuard(expected: GuardExpected, listing: HostListing): readonly GuardFault[] | undefined {
  const found = VERSIONS.map((version) => ({ version, standing: standingOf(expected, listing, version) }));
  const known = found.flatMap(({ version, standing }) => (standing === undefined ? [] : [{ version, standing }]));
  if (known.length === 0) return undefined;
  if (known.every(({ standing }) => !standing.stands)) return [{ what: 'missing' }];
  if (expected.observe) return [];
  return portSegments(expected.doors).flatMap((segment) => [
    ...openAt(segment, known),
    ...known
      .filter(({ standing }) => standing.stands)
      .flatMap(({ version, standing }) =>
        segment.doors
          .filter((door) => !standing.admits(segment, door))
          .map((door) => ({ what: 'shut', segment, door, version }) as const),
      ),
  ]);
}

function openAt(
  segment: PortSegment,
  known: readonly { readonly version: Family; readonly standing: Standing }[],
): readonly GuardFault[] {
  const { protocol, first, last } = segment;
  const ends = known.map(({ version, standing }) => {
    const fates = [first, last].map((port) => standing.strangers({ version, protocol, port, stranger: true }));
    return { version, fate: fates.find((fate) => fate === 'open') ?? fates.find((fate) => fate !== 'closed') };
  });
  return (['open', 'unknown'] as const).flatMap((asked): readonly GuardFault[] => {
    const versions = ends.filter(({ fate }) => fate === asked).map(({ version }) => version);
    return versions.length === 0 ? [] : [{ what: 'open', segment, versions, certain: asked === 'open' }];
  });
}

function standingOf({ driver, face }: GuardExpected, listing: HostListing, version: Family): Standing | undefined {
  if (driver === 'nftables') return listing.nft === undefined ? undefined : inNftables(listing.nft, version, face);
  if (driver !== 'iptables') return undefined;
  // Of the two backends the guard is in one.
  const saves = listing.iptables.filter((save) => save.version === version);
  const found = saves.map(({ text }) => inIptables(text, version));
  return found.find(({ stands }) => stands) ?? found[0];
}

function inNftables(text: string, version: Family, face: Face): Standing {
  const ours = parseNftListing(text).filter((entry) => isOfTable(entry, 'inet', TABLE));
  return {
    stands: ours.length > 0,
    strangers: (probe) => {
      const [table] = nftTables(ours, probe);
      const walks = table ? prerouting(table).map((chain) => walk(table, chain)) : [];
      // With this face the closed ports are handed to port 1.
      if (face === 'mirror' && probe.protocol === 'tcp' && walks.some(({ led }) => led.has('1'))) return 'closed';
      return summary(walks);
    },
    admits: ({ protocol, first, last }, door) => {
      const chain = `${protocol}${version}_${first === last ? first : `${first}_${last}`}`;
      const set = JSON.stringify(`@${openSet(door, version)}`);
      return ours.some(({ rule }) => (rule as Json | undefined)?.chain === chain && JSON.stringify(rule).includes(set));
    },
  };
}

function inIptables(text: string, version: Family): Standing {
  const standing = parseStanding(text);
  const security = standing.find(({ table }) => table === 'security');
  // What is to be answered is marked, and let through mangle: the last table drops what has the mark.
  const areStopped = security?.hooked === true && security.lines.includes('-A POSTERN -j DROP');
  const rules = areStopped ? text.replace(/^(-A POSTERN\S*) -j MARK .*$/gm, '$1 -j DROP') : text;
  return {
    stands: standing.some(({ table }) => table === 'mangle'),
    strangers: (probe) => {
      const table = parseIptablesSave(rules, probe, 'iptables').find(({ name }) => name === 'mangle');
      return summary(table ? prerouting(table).map((chain) => walk(table, chain)) : []);
    },
    admits: ({ protocol, first, last }, door) => {
      const chain = `POSTERN-${protocol}-${first === last ? first : `${first}-${last}`}`;
      return text.includes(`\n-A ${chain} -m set --match-set ${openSetName(door, version)} src -j RETURN\n`);
    },
  };
}

function prerouting({ chains }: HostTable): readonly HostChain[] {
  return chains.filter(({ base }) => base?.hook === 'prerouting');
}

/** Where one chain stops it for certain, it is stopped. */
function summary(walks: readonly Walk[]): 'closed' | 'open' | 'unknown' {
  const ends = walks.map(({ fates }) => [...fates]);
  if (ends.some((fates) => !fates.includes('accept') && !fates.includes('unknown'))) return 'closed';
  return ends.every((fates) => fates.length === 1 && fates[0] === 'accept') ? 'open' : 'unknown';
}
