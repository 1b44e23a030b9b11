/**
 * Ports as both sides of the configuration write them: `tcp/22`, `tcp/8000-8010` for what is protected, `udp/8000` for a step of a
 * knock. The protocol is always written: a port alone says too little about what is closed.
 */

import type { Protocol, Step } from '../core/door.ts';
import type { PortRange } from '../core/policy.ts';
import { quote } from './problem.ts';
import { fault, type Reading } from './reading.ts';

export const PORTS_PATTERN = '^(tcp|udp)/[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$';
export const STEP_PATTERN = '^(tcp|udp)/[1-9][0-9]{0,4}$';

const PORTS = /^(tcp|udp)\/([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?$/;
const HIGHEST = 65535;

/** Reads `tcp/22` or `tcp/8000-8010`. */
export function parsePorts(text: string): Reading<PortRange> {
  const message = `Cannot read the ports ${quote(text)}`;
  const [, protocol, from, to] = PORTS.exec(text) ?? [];
  if (protocol === undefined) return fault(message, hintFor(text, 'tcp/22'));
  const first = Number(from);
  const last = to === undefined ? first : Number(to);
  if (first > HIGHEST || last > HIGHEST)
    return fault(`${message}: the highest port is ${HIGHEST}`, 'Write ports from 1 to 65535');
  if (first > last) return fault(`${message}: the range runs backwards`, `Write "${protocol}/${last}-${first}"`);
  return { value: { protocol: protocol as Protocol, first, last } };
}

/** Reads one step of a knock: `tcp/7000`. */
export function parseStep(text: string): Reading<Step> {
  const message = `Cannot read the step ${quote(text)}`;
  if (/^icmp(?:v6|6)?\b/i.test(text))
    return fault(`${message}: only TCP and UDP packets can be steps`, 'Write "tcp/" or "udp/" and a port');
  const [, protocol, from, to] = PORTS.exec(text) ?? [];
  if (protocol === undefined) return fault(message, hintFor(text, 'tcp/7000'));
  if (to !== undefined) return fault(`${message}: a step is one port`, `Write "${protocol}/${from}"`);
  const port = Number(from);
  if (port > HIGHEST) return fault(`${message}: the highest port is ${HIGHEST}`, 'Write a port from 1 to 65535');
  return { value: { protocol: protocol as Protocol, port } };
}

/** Ports as iptables, knockd, Docker or /etc/services write them: `22`, `TCP:22`, `22/tcp`. */
function readLoosely(text: string): { readonly protocol: string | undefined; readonly ports: string } | undefined {
  const plain = text.trim().toLowerCase().replaceAll(/\s+/g, '');
  const [, before, ports, after] =
    /^(?:(tcp|udp)[/:-]?)?(\d{1,5}(?:[-:]\d{1,5})?)(?:[/:](tcp|udp))?$/.exec(plain) ?? [];
  if (ports === undefined || (before !== undefined && after !== undefined)) return undefined;
  return { protocol: before ?? after, ports: ports.replace(':', '-') };
}

/** `tcp/22`, as `parsePorts` reads it, for who answers `22`, `TCP/22` or `22/tcp`; any other text as it is. */
export function portsMeant(text: string): string {
  const meant = readLoosely(text);
  return meant ? `${meant.protocol ?? 'tcp'}/${meant.ports}` : text;
}

function hintFor(text: string, example: string): string {
  const meant = readLoosely(text);
  if (meant) {
    const right = portsMeant(text);
    if (!PORTS.test(right)) return 'Write ports from 1 to 65535';
    return meant.protocol === undefined ? `Write "${right}", or "udp" in place of "tcp"` : `Write "${right}"`;
  }
  if (/^(?:(?:tcp|udp)\/)?[a-z][\w-]*$/.test(text.trim().toLowerCase()))
    return `Write the number, such as "${example}": service names are not looked up`;
  return `Write "tcp/" or "udp/" and a port, such as "${example}"`;
}

export function printPorts({ protocol, first, last }: PortRange): string {
  return first === last ? `${protocol}/${first}` : `${protocol}/${first}-${last}`;
}

export function printStep(step: Step): string {
  return `${step.protocol}/${step.port}`;
}

/** The same ports, TCP before UDP and ascending, as few ranges as can be: none overlaps or touches another. */
export function mergePorts(ranges: readonly PortRange[]): readonly PortRange[] {
  const sorted = ranges.toSorted((x, y) =>
    x.protocol < y.protocol ? -1 : x.protocol > y.protocol ? 1 : x.first - y.first,
  );
  const merged: PortRange[] = [];
  for (const range of sorted) {
    const before = merged.at(-1);
    if (before && before.protocol === range.protocol && range.first <= before.last + 1) {
      merged[merged.length - 1] = { ...before, last: Math.max(before.last, range.last) };
    } else merged.push(range);
  }
  return merged;
}

export function holdsPort(ranges: readonly PortRange[], { protocol, port }: Step): boolean {
  return ranges.some((range) => range.protocol === protocol && range.first <= port && port <= range.last);
}
