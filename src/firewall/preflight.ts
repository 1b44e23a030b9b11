/**
 * Before the guard goes in: would this host's own firewall still refuse a client that has a grant? Does DNAT lead the port to a
 * container? Does this nft take our rules? Only what the rules say is told as a fact; what could not be decided is said to be so.
 * Reads, changes nothing, and every program that it runs has a time limit.
 */

import { readFileSync } from 'node:fs';
import type { DoorPolicy } from '../core/policy.ts';
import { listeningPorts } from '../platform/listeners.ts';
import { feedProgram } from '../platform/process.ts';
import type { Face, Guard } from './driver.ts';
import { type Fate, type HostChain, type HostTable, type Probe, walk } from './host-rules.ts';
import { withoutGuard } from './iptables-rules.ts';
import { parseIptablesSave } from './iptables-save.ts';
import { lintLedSteps } from './led-steps.ts';
import { parseNftListing } from './nft-listing.ts';
import { guardRules, TABLE } from './nft-rules.ts';
import { type PortSegment, portSegments } from './port-segments.ts';

export interface Finding {
  readonly severity: 'error' | 'warning' | 'note';
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}

/** What the host's rules are made of, as text: so that the judging is apart from the asking. */
export interface HostListing {
  /** `nft -j list ruleset`. */
  readonly nft?: string;
  /** `iptables-save` and `ip6tables-save`; of the old backend where it holds tables. */
  readonly iptables: readonly {
    readonly version: 4 | 6;
    readonly source: 'iptables' | 'iptables-legacy';
    readonly text: string;
  }[];
}

const LIMITS = { timeout: 10_000, limit: 16 * 1024 * 1024 };
/** Ranges count once; a guard of more segments is looked at up to here. */
const MOST_SEGMENTS = 64;
const AFTER = 'once the guard stands: it decides who gets that far';
/** Where `mirror` leads to, and what an unused port is judged by: tcpmux, which nobody runs. */
const UNUSED_PORT = 1;
const IPTABLES_TABLES = new Set(['filter', 'nat', 'mangle', 'raw', 'security']);

/** Everything that an administrator should hear before these doors are guarded by that driver. Never throws. */
export async function preflight(
  doors: readonly DoorPolicy[],
  face: Face = 'drop',
  driver = 'nftables',
  tarpit?: number,
): Promise<Finding[]> {
  const listing = await listHost();
  const unreadable: Finding = {
    severity: 'warning',
    message: "Cannot read this host's firewall rules: whether a granted client gets through is not known",
    hint: 'run it as root, with nftables installed',
  };
  return [
    ...(driver === 'nftables'
      ? await dryRun({
          doors,
          face,
          ipv6Prefix: 64,
          trusted: [],
          observe: false,
          ...(tarpit !== undefined && { tarpit }),
        })
      : []),
    ...mirrorFindings(face),
    ...(isEmpty(listing) ? [unreadable] : [...judgeHost(doors, listing), ...judgeTarpit(tarpit, listing)]),
  ];
}

/**
 * What this host does with a connection to a port that nobody uses: refuse it (`reset`), say nothing (`drop`), or something else
 * (an ICMP error; one thing over IPv4 and another over IPv6), which only `mirror` can look like. Undefined when its rules do not tell.
 */
export async function probeFace(): Promise<Face | undefined> {
  return judgeFace(await listHost());
}

/** `probeFace` from listings. */
export function judgeFace(listing: HostListing): Face | undefined {
  if (isEmpty(listing)) return undefined;
  const fates = ([4, 6] as const).map(
    (version) => verdictOf(listing, { version, protocol: 'tcp', port: UNUSED_PORT }).fate,
  );
  if (fates.includes('unknown')) return undefined;
  // What passes every chain is refused by the kernel itself.
  const seen = new Set(fates.map((fate) => (fate === 'accept' ? 'reset' : fate)));
  const [only] = seen;
  return seen.size === 1 && (only === 'drop' || only === 'reset') ? only : 'mirror';
}

function isEmpty({ nft, iptables }: HostListing): boolean {
  return nft === undefined && iptables.length === 0;
}

/** The findings about the host's rules. */
export function judgeHost(doors: readonly DoorPolicy[], listing: HostListing): Finding[] {
  const segments = portSegments(doors).slice(0, MOST_SEGMENTS);
  const steps = lintLedSteps(doors, (probe) => verdictOf(listing, probe).led);
  return [...segments.flatMap((segment) => judgeSegment(segment, listing)), ...steps];
}

function judgeSegment(segment: PortSegment, listing: HostListing): Finding[] {
  const verdicts = ([4, 6] as const).map((version) => ({
    version,
    ...verdictOf(listing, { version, protocol: segment.protocol, port: segment.first }),
  }));
  const led = [...new Set(verdicts.flatMap((verdict) => [...verdict.led]))];
  if (led.length > 0) return [ledFinding(segment, led)];
  // One finding for both families where they meet the same end at the same place.
  const refusals = new Map<string, { readonly fate: Fate; readonly place: Place; readonly versions: (4 | 6)[] }>();
  for (const { version, fate, place } of verdicts) {
    if (place === undefined) continue;
    const key = `${fate} ${place.description}`;
    const same = refusals.get(key) ?? { fate, place, versions: [] };
    same.versions.push(version);
    refusals.set(key, same);
  }
  return [...refusals.values()].map((refusal) => refusedFinding(segment, refusal, refusal.versions));
}

/** Would this host's rules let those in who are led to the tarpit? */
export function judgeTarpit(port: number | undefined, listing: HostListing): Finding[] {
  if (port === undefined) return [];
  const segment: PortSegment = { protocol: 'tcp', first: port, last: port, doors: [], close: 'keep' };
  const refusing = ([4, 6] as const).flatMap((version) => {
    const { fate, place } = verdictOf(listing, { version, protocol: 'tcp', port });
    return place === undefined || fate === 'unknown' ? [] : [{ version, place }];
  });
  const [first] = refusing;
  if (first === undefined) return [];
  const versions = refusing.map(({ version }) => version);
  return [
    {
      severity: 'warning',
      message: `Nobody is held in the tarpit: ${first.place.description} refuses port tcp/${port}, where banned sources are led to, over ${versions.map((version) => `IPv${version}`).join(' and ')}`,
      hint: `${remedy(segment, first.place, versions)} # ${AFTER}`,
    },
  ];
}

interface Place {
  readonly owner: string;
  readonly table: HostTable;
  readonly chain: HostChain;
  readonly description: string;
}

interface Verdict {
  /** `accept` when every chain lets it pass, `unknown` when some chain may or may not. */
  readonly fate: Fate;
  readonly place?: Place;
  readonly led: ReadonlySet<string>;
}

function verdictOf(listing: HostListing, probe: Probe): Verdict {
  const led = new Set<string>();
  let doubtful: Place | undefined;
  let refused: { fate: Fate; place: Place } | undefined;
  for (const table of hostTables(listing, probe)) {
    for (const chain of table.chains) {
      if (chain.base === undefined || !['prerouting', 'input'].includes(chain.base.hook)) continue;
      const result = walk(table, chain);
      for (const target of result.led) led.add(target);
      const place = placeOf(table, chain);
      const [only] = result.fates;
      if (result.fates.size > 1 || only === 'unknown') doubtful ??= place;
      else if (only !== undefined && only !== 'accept') refused ??= { fate: only, place };
    }
  }
  if (refused) return { ...refused, led };
  return doubtful ? { fate: 'unknown', place: doubtful, led } : { fate: 'accept', led };
}

function hostTables(listing: HostListing, probe: Probe): HostTable[] {
  const saved = listing.iptables
    .filter(({ version }) => version === probe.version)
    .flatMap(({ text, source }) => parseIptablesSave(withoutGuard(text), probe, source));
  const native = (listing.nft === undefined ? [] : parseNftListing(listing.nft, probe))
    .filter(({ family, name }) => !(family === 'inet' && name === TABLE))
    .map((table) => {
      const twin = saved.find(
        ({ name }) => table.family !== 'inet' && IPTABLES_TABLES.has(name) && table.name === name,
      );
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

function refusedFinding(
  segment: PortSegment,
  { fate, place }: { readonly fate: Fate; readonly place: Place },
  versions: readonly (4 | 6)[],
): Finding {
  const families = versions.map((version) => `IPv${version}`).join(' and ');
  const by = place.description;
  const subject = `Port ${portText(segment)} of ${doorsText(segment)}`;
  const hint = remedy(segment, place, versions);
  if (fate === 'unknown') {
    return {
      severity: 'warning',
      message: `${subject}: cannot tell whether ${by} lets a granted client in over ${families}`,
      hint: `${hint} # if it does not, ${AFTER}`,
    };
  }
  return {
    severity: 'error',
    message: `${subject}: ${by} refuses a granted client, too, over ${families}`,
    hint: `${hint} # ${AFTER}`,
  };
}

/** A command, to be run as it stands (a shell passes over the remark behind it): the host firewall has to let the port in once, for everybody. */
function remedy(segment: PortSegment, { owner, table, chain }: Place, versions: readonly (4 | 6)[]): string {
  const { protocol, first, last } = segment;
  const range = (dash: string): string => (first === last ? `${first}` : `${first}${dash}${last}`);
  switch (owner) {
    case 'ufw':
      return `ufw allow ${range(':')}/${protocol}`;
    case 'firewalld':
      return `firewall-cmd --permanent --add-port=${range('-')}/${protocol} && firewall-cmd --reload`;
    case 'iptables': {
      const legacy = table.source === 'iptables-legacy' ? '-legacy' : '';
      const programs = versions.map((version) => `${version === 4 ? 'iptables' : 'ip6tables'}${legacy}`);
      const rule = `-I ${chain.name} -p ${protocol} --dport ${range(':')} -j ACCEPT`;
      return `${programs.map((program) => `${program} ${rule}`).join(' && ')}`;
    }
    default:
      return `nft insert rule ${table.family} ${table.name} ${chain.name} ${protocol} dport ${range('-')} accept`;
  }
}

function ledFinding(segment: PortSegment, led: readonly string[]): Finding {
  return {
    severity: 'note',
    message: `Port ${portText(segment)} of ${doorsText(segment)} is led to ${led.join(', ')}, as container ports are: the guard comes before that`,
    hint: 'connections to that address itself, from a network that routes to it, are not guarded',
  };
}

function mirrorFindings(face: Face): Finding[] {
  if (face !== 'mirror' || !listeningPorts().includes(UNUSED_PORT)) return [];
  return [
    {
      severity: 'error',
      message: 'Port tcp/1 is in use: with face "mirror", that service would answer for the closed ports',
      hint: 'use face "drop" or "reset"',
    },
  ];
}

/** Asks nft itself whether it takes the rules: no list of versions says it better. */
async function dryRun(guard: Guard): Promise<Finding[]> {
  let rules: string;
  try {
    rules = guardRules(guard);
  } catch (error) {
    return [{ severity: 'error', message: (error as Error).message, hint: 'correct the configuration' }];
  }
  const version = await feedProgram(['nft', '--version'], '', LIMITS);
  if ('failed' in version.ending) {
    return [
      {
        severity: 'error',
        message: `Cannot start nft: ${version.ending.failed}`,
        hint: 'install the package nftables',
      },
    ];
  }
  const { ending, complaints } = await feedProgram(['nft', '-c', '-f', '-'], rules, LIMITS);
  if ('status' in ending && ending.status === 0) return [];
  const said = complaints.split('\n').find((line) => /error/i.test(line)) ?? complaints.trim();
  const hint = `this is ${version.output.trim()}; nftables 1.0.6 on Linux 6.1 or newer is what Postern is tested with`;
  return [{ severity: 'error', message: `nft does not take the guard: ${said}`, hint }];
}

async function listHost(): Promise<HostListing> {
  const run = async (...argv: [string, ...string[]]): Promise<string | undefined> => {
    const { ending, output } = await feedProgram(argv, '', LIMITS);
    const whole = 'status' in ending && ending.status === 0 && output.length < LIMITS.limit;
    return whole ? output : undefined;
  };
  const programs = [
    { version: 4, source: 'iptables', program: 'iptables-nft-save', needed: () => true },
    { version: 6, source: 'iptables', program: 'ip6tables-nft-save', needed: () => true },
    { version: 4, source: 'iptables-legacy', program: 'iptables-legacy-save', needed: () => holdsTables('ip') },
    { version: 6, source: 'iptables-legacy', program: 'ip6tables-legacy-save', needed: () => holdsTables('ip6') },
  ] as const;
  const [nft, ...saved] = await Promise.all([
    run('nft', '-j', 'list', 'ruleset'),
    ...programs.map(async ({ program, needed, ...rest }) => {
      const text = needed() ? await run(program) : undefined;
      return text === undefined ? [] : [{ ...rest, text }];
    }),
  ]);
  return {
    ...(nft === undefined ? {} : { nft: nft as string }),
    iptables: (saved as HostListing['iptables'][]).flat(),
  };
}

/** Reading the old backend's tables would load its modules where nobody uses it. */
function holdsTables(family: 'ip' | 'ip6'): boolean {
  try {
    return readFileSync(`/proc/net/${family}_tables_names`, 'utf8').trim() !== '';
  } catch {
    return false;
  }
}

function portText({ protocol, first, last }: PortSegment): string {
  return `${protocol}/${first === last ? first : `${first}-${last}`}`;
}

function doorsText({ doors }: PortSegment): string {
  return `door ${doors.map((door) => `"${door}"`).join(', ')}`;
}
