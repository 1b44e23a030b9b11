/** What becomes of a probe on its way through all of a host's tables, ours left out, up to the socket. */

import type { HostListing } from './host-listing.ts';
import { type Fate, type HostChain, type HostRule, type HostTable, type Probe, walk } from './host-rules.ts';
import { withoutGuard } from './iptables-rules.ts';
import { parseIptablesSave } from './iptables-save.ts';
import { isOfTable, type Json, nftTables, parseNftListing } from './nft-listing.ts';
import { TABLE } from './nft-rules.ts';

const IPTABLES_TABLES = new Set(['filter', 'nat', 'mangle', 'raw', 'security']);

export interface Place {
  readonly owner: string;
  readonly table: HostTable;
  readonly chain: HostChain;
  readonly description: string;
}

export interface Verdict {
  /** `accept` when every chain lets it pass, `unknown` when some chain may or may not. */
  readonly fate: Fate;
  readonly place?: Place;
  readonly led: ReadonlySet<string>;
}

/** Who refuses the probe, if anybody does. */
export function verdictOf(listing: HostListing, probe: Probe): Verdict {
  const led = new Set<string>();
  let doubtful: Place | undefined;
  let refused: { fate: Fate; place: Place } | undefined;
  for (const { table, chain } of chainsOnTheWay(listing, probe)) {
    const result = walk(table, chain);
    for (const target of result.led) led.add(target);
    const place = placeOf(table, chain);
    const [only] = result.fates;
    if (result.fates.size > 1 || only === 'unknown') doubtful ??= place;
    else if (only !== undefined && only !== 'accept') refused ??= { fate: only, place };
  }
  if (refused) return { ...refused, led };
  return doubtful ? { fate: 'unknown', place: doubtful, led } : { fate: 'accept', led };
}

/** Everything that may become of the probe: `accept` is that it gets to the kernel's own stack. */
export function outcomes(listing: HostListing, probe: Probe): ReadonlySet<Fate> {
  const ends = new Set<Fate>();
  for (const { table, chain } of chainsOnTheWay(listing, probe)) {
    const { fates } = walk(table, chain);
    for (const fate of fates) if (fate !== 'accept') ends.add(fate);
    if (!fates.has('accept')) return ends;
  }
  return ends.add('accept');
}

/** The rules of all tables that lead new connections elsewhere, as they are for the probe. */
export function natRules(listing: HostListing, probe: Probe): readonly HostRule[] {
  return hostTables(listing, probe)
    .filter(({ chains }) => chains.some(({ base }) => base?.type === 'nat' && base.hook === 'prerouting'))
    .flatMap(({ chains }) => chains.flatMap(({ rules }) => rules));
}

/** The base chains that it meets, in the order in which it does. */
function chainsOnTheWay(
  listing: HostListing,
  probe: Probe,
): { readonly table: HostTable; readonly chain: HostChain }[] {
  const hooks = ['prerouting', 'input'];
  const at = ({ base }: HostChain): number => hooks.indexOf(base?.hook ?? '');
  return (
    hostTables(listing, probe)
      .flatMap((table) => table.chains.map((chain) => ({ table, chain })))
      // Only the first packet of a session goes through NAT.
      .filter(({ chain }) => at(chain) >= 0 && !(chain.base?.type === 'nat' && probe.state === 'invalid'))
      .sort((x, y) => at(x.chain) - at(y.chain) || (x.chain.base?.priority ?? 0) - (y.chain.base?.priority ?? 0))
  );
}

interface Foreign {
  readonly nft: readonly Json[];
  readonly iptables: HostListing['iptables'];
}

/** Many probes ask about one listing. */
const seen = new WeakMap<HostListing, Foreign>();

/** What is not ours. */
function foreign(listing: HostListing): Foreign {
  const known = seen.get(listing);
  if (known) return known;
  const entries = listing.nft === undefined ? [] : parseNftListing(listing.nft);
  const found = {
    nft: entries.filter((entry) => !isOfTable(entry, 'inet', TABLE)),
    iptables: listing.iptables.map((save) => ({ ...save, text: withoutGuard(save.text) })),
  };
  seen.set(listing, found);
  return found;
}

function hostTables(listing: HostListing, probe: Probe): HostTable[] {
  const { nft, iptables } = foreign(listing);
  const saved = iptables
    .filter(({ version }) => version === probe.version)
    .flatMap(({ text, source }) => parseIptablesSave(text, probe, source));
  const native = nftTables(nft, probe).map((table) => {
    const twin = saved.find(({ name }) => table.family !== 'inet' && IPTABLES_TABLES.has(name) && table.name === name);
    return twin ? withoutChainsOf(twin, table) : table;
  });
  return [...saved, ...native];
}

/** iptables-nft's own chains are read better from iptables-save; what somebody put beside them it does not show. */
function withoutChainsOf(saved: HostTable, table: HostTable): HostTable {
  const known = new Set(saved.chains.map(({ name }) => name));
  const chains = table.chains.map((chain) =>
    known.has(chain.name) ? { name: chain.name, rules: chain.rules } : chain,
  );
  return { ...table, chains };
}

function placeOf(table: HostTable, chain: HostChain): Place {
  const ufw = table.chains.some(({ name }) => name.startsWith('ufw'));
  const owner = ufw
    ? 'ufw'
    : table.name === 'firewalld'
      ? 'firewalld'
      : table.source === 'nft'
        ? 'nftables'
        : 'iptables';
  const where =
    table.source === 'nft'
      ? `chain "${chain.name}" of nftables table "${table.family} ${table.name}"`
      : `chain ${chain.name} of ${table.source}`;
  return { owner, table, chain, description: owner === 'ufw' || owner === 'firewalld' ? `${owner} (${where})` : where };
}
