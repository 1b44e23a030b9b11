/**
 * Before the guard goes in: would this host's own firewall still refuse a client that has a grant? Does DNAT lead the port to a
 * container, or another port past the door (`bypass.ts`)? Does this nft take our rules? Only what the rules say is told as a fact; what could not be decided is said to be so.
 * Reads, changes nothing, and every program that it runs has a time limit.
 */

import type { Address } from '../core/address.ts';
import type { DoorPolicy } from '../core/policy.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { listeningPorts } from '../platform/listeners.ts';
import { feedProgram } from '../platform/process.ts';
import { otherWork } from '../platform/timer.ts';
import { REFUSING } from './answers.ts';
import { lintBypasses } from './bypass.ts';
import type { Face, Guard } from './driver.ts';
import { type HostListing, isEmpty, listHost } from './host-listing.ts';
import type { Fate } from './host-rules.ts';
import { type Place, verdictOf } from './host-verdict.ts';
import { lintLedSteps } from './led-steps.ts';
import { guardRules } from './nft-rules.ts';
import { type PortSegment, portSegments } from './port-segments.ts';
import { favoursLed, UNUSED_PORT } from './unused-ports.ts';

export interface Finding {
  readonly severity: 'error' | 'warning' | 'note';
  readonly message: string;
  /** What to do about it. */
  readonly hint: string;
}

const LIMITS = { timeout: 10_000, limit: 16 * 1024 * 1024 };
/** Ranges count once; a guard of more segments is looked at up to here. */
const MOST_SEGMENTS = 64;
const AFTER = 'once the guard stands: it decides who gets that far';

/** Everything that an administrator should hear before these doors are guarded by that driver; `known` are this host's rules, where somebody has just read them. Never throws. */
export async function preflight(
  doors: readonly DoorPolicy[],
  face: Face = 'drop',
  driver = 'nftables',
  tarpit?: number,
  known?: HostListing,
): Promise<Finding[]> {
  const listing = known ?? (await listHost());
  const unreadable: Finding = {
    severity: 'warning',
    message: "Cannot read this host's firewall rules: whether a granted client gets through is not known",
    hint: 'run it as root, with nftables installed',
  };
  const guard = {
    doors,
    face,
    ipv6Prefix: 64,
    trusted: [],
    observe: false,
    closed: { 4: REFUSING, 6: REFUSING },
    ...(tarpit !== undefined && { tarpit }),
  };
  const found = [
    ...(driver === 'nftables' ? await dryRun(guard) : []),
    ...(face === 'mirror' ? judgeMirror(listing, listeningPorts()) : []),
  ];
  if (isEmpty(listing)) return [...found, unreadable];
  for (const findings of judgements(doors, listing, addressesOf('any', true))) {
    found.push(...findings);
    // A host can have thousands of rules, and a daemon has doors to open meanwhile.
    await otherWork();
  }
  return [...found, ...judgeTarpit(tarpit, listing)];
}

/** The findings about the host's rules. */
export function judgeHost(doors: readonly DoorPolicy[], listing: HostListing, own: readonly Address[] = []): Finding[] {
  return [...judgements(doors, listing, own)].flat();
}

/** One by one, because each takes its time. */
function* judgements(
  doors: readonly DoorPolicy[],
  listing: HostListing,
  own: readonly Address[],
): Generator<readonly Finding[]> {
  for (const segment of portSegments(doors).slice(0, MOST_SEGMENTS)) yield judgeSegment(segment, listing);
  yield* lintLedSteps(doors, (probe) => verdictOf(listing, probe).led);
  yield* lintBypasses(doors, listing, own);
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
    const key = `${fate === 'unknown'} ${place.description}`;
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

/** What gives guarded ports away, or answers for them, where new connections are handed to the unused port. */
export function judgeMirror(listing: HostListing, listening: readonly number[]): Finding[] {
  const used: Finding = {
    severity: 'error',
    message: 'Port tcp/1 is in use: with face "mirror", that service would answer for the closed ports',
    hint: 'use face "auto", "drop" or "reset"',
  };
  const told: Finding = {
    severity: 'warning',
    message:
      'The rules of this host treat connections that NAT has led otherwise than all others (as firewalld does): with face "mirror", a scan sees which ports are guarded',
    hint: 'use face "auto"',
  };
  return [...(listening.includes(UNUSED_PORT) ? [used] : []), ...(favoursLed(listing) ? [told] : [])];
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

function portText({ protocol, first, last }: PortSegment): string {
  return `${protocol}/${first === last ? first : `${first}-${last}`}`;
}

function doorsText({ doors }: PortSegment): string {
  return `door ${doors.map((door) => `"${door}"`).join(', ')}`;
}
