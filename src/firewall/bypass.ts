/**
 * Ways past a door: rules of this host's own (REDIRECT, or DNAT to an address of this host) that lead another port to a protected one. The guard
 * looks at the port that was asked for, before any DNAT: whoever asks for the other one is in without a knock.
 *
 * Only what leads is walked, from the ports that the rules themselves name and one that they do not. What nobody can tell (a map that is not
 * known, a rule for some sources only) is told as a doubt.
 */

import { type Address, isLoopback, parseAddress, sameAddress } from '../core/address.ts';
import type { DoorPolicy } from '../core/policy.ts';
import type { HostListing } from './host-listing.ts';
import type { HostRule, Probe } from './host-rules.ts';
import { natRules, verdictOf } from './host-verdict.ts';
import { type PortSegment, portSegments } from './port-segments.ts';
import type { Finding } from './preflight.ts';

/** Ports that rules name are tried up to here; a host that leads more of them to its own doors is told of some. */
const MOST_PORTS = 256;
/** As many are named in a message. */
const MOST_NAMED = 4;
const VERSIONS = [4, 6] as const;

interface Lead {
  readonly segment: PortSegment;
  /** As rules write it. */
  readonly to: string;
  /** The rules that do it. */
  readonly rules: readonly HostRule[];
}

/** One finding for each target that other ports are led to; `own` are the addresses of this host. */
export function* lintBypasses(
  doors: readonly DoorPolicy[],
  listing: HostListing,
  own: readonly Address[],
): Generator<readonly Finding[]> {
  const segments = portSegments(doors);
  const rules = VERSIONS.flatMap((version) => natRules(listing, { version, protocol: 'tcp', port: 0 }));
  for (const lead of leadsToDoors(segments, rules, own)) {
    const { protocol } = lead.segment;
    const isGuarded = (port: number): boolean =>
      segments.some((each) => each.protocol === protocol && each.first <= port && port <= each.last);
    const named = namedPorts(rules).filter((port) => !isGuarded(port));
    // One that no rule names stands for all of those.
    const other = firstPort((port) => !isGuarded(port) && !named.includes(port));
    const isLed = (port: number): boolean =>
      VERSIONS.some((version) => verdictOf(listing, { version, protocol, port }).led.has(lead.to));
    if (isLed(other)) yield [finding(lead, undefined, certain(listing, lead, other))];
    else {
      const ports = named.filter(isLed);
      if (ports.length > 0) yield [finding(lead, ports, certain(listing, lead, ports[0] ?? 0))];
    }
  }
}

/** The same target is one lead, whatever the rules. */
function leadsToDoors(
  segments: readonly PortSegment[],
  rules: readonly HostRule[],
  own: readonly Address[],
): readonly Lead[] {
  const leads = new Map<string, Lead>();
  for (const rule of rules) {
    if (rule.act.do !== 'lead') continue;
    const { to } = rule.act;
    const target = readTarget(to, own);
    if (target === undefined) continue;
    for (const segment of segments) {
      if (segment.last < target.first || target.last < segment.first) continue;
      const key = `${segment.protocol} ${segment.first} ${to}`;
      leads.set(key, { segment, to, rules: [...(leads.get(key)?.rules ?? []), rule] });
    }
  }
  return [...leads.values()];
}

/** `:22`, `port 22-25`, `192.0.2.1:22`, `[2001:db8::1]:22`: the ports at this host; undefined where it is another, or the port stays. */
export function readTarget(
  to: string,
  own: readonly Address[],
): { readonly first: number; readonly last: number } | undefined {
  const [, host = '', first, last = first] = /^(?:port )?(?:(.*?):)?(\d+)(?:-(\d+))?(?:\/\d+)?$/.exec(to) ?? [];
  if (first === undefined) return undefined;
  const address = host === '' ? undefined : parseAddress(host.replace(/^\[(.*)\]$/, '$1').replace(/-.*$/, ''));
  if (host !== '' && !(address && isOwn(address, own))) return undefined;
  return { first: Number(first), last: Number(last) };
}

function isOwn(address: Address, own: readonly Address[]): boolean {
  return isLoopback(address) || own.some((each) => sameAddress(each, address));
}

/** Does a rule hold for everybody? */
function certain(listing: HostListing, { segment: { protocol }, to }: Lead, port: number): boolean {
  return VERSIONS.some((version) => {
    const probe: Probe = { version, protocol, port };
    return natRules(listing, probe).some(({ match, act }) => match === 'yes' && act.do === 'lead' && act.to === to);
  });
}

function namedPorts(rules: readonly HostRule[]): readonly number[] {
  const ports = new Set(rules.flatMap(({ ports = [] }) => ports));
  return [...ports].sort((x, y) => x - y).slice(0, MOST_PORTS);
}

function firstPort(fits: (port: number) => boolean): number {
  for (let port = 1; port < 65_536; port += 1) if (fits(port)) return port;
  return 0;
}

function finding({ segment, rules }: Lead, ports: readonly number[] | undefined, isCertain: boolean): Finding {
  const { protocol, first, last, doors } = segment;
  const port = (number: number): string => `${protocol}/${number}`;
  const named = ports?.slice(0, MOST_NAMED).map(port) ?? [];
  const more = (ports?.length ?? 0) - named.length;
  const from =
    ports === undefined ? `every other ${protocol} port` : named.join(', ') + (more > 0 ? ` and ${more} more` : '');
  const door = doors.map((name) => `"${name}"`).join(', ');
  const target = first === last ? port(first) : `${protocol}/${first}-${last}`;
  const deletions = [...new Set(rules.flatMap(({ deletion = [] }) => deletion))];
  const remove = deletions.length === 0 ? 'take the rule away' : `take the rule away: ${deletions.join(' && ')}`;
  const protect =
    ports === undefined
      ? ''
      : `, or protect what leads there, too: ${ports
          .map((each) => `"${port(each)}"`)
          .slice(0, MOST_NAMED)
          .join(', ')}`;
  return {
    severity: isCertain ? 'error' : 'warning',
    message: `${from} ${isCertain ? (named.length > 1 ? 'lead' : 'leads') : 'may lead, for some,'} to ${target} of door ${door} by this host's own rules: who asks there is let in without a knock`,
    hint: `${remove}${protect}`,
  };
}
