/**
 * Sessions from outside on protected ports: found, so that the guard's first load lets them go on, and reset when a `kill` door
 * closes. Local ones by the kernel's socket table and `ss -K` (which sends both sides a reset); those that DNAT leads to a
 * container by `conntrack`. A local session is never taken from conntrack: the server's next packet would enter it again
 * the other way round, and then the guard takes the client's packets for answers.
 */

import { type Address, parseAddress, printAddress } from '../core/address.ts';
import { contains, type Prefix } from '../core/policy.ts';
import { feedProgram } from '../platform/process.ts';
import { tcpSessions } from '../platform/tcp-sessions.ts';
import { LIVE_SIZE, type LiveSession } from './nft-rules.ts';

/** First and last port, both included. */
export interface Ports {
  readonly first: number;
  readonly last: number;
}

interface RoutedSession extends LiveSession {
  readonly destination: Address;
}

const LIMITS = { timeout: 10_000, limit: 64 * 1024 * 1024 };

/** The sessions on ports that `wanted` picks. `routed`: those of containers too, if `conntrack` is there to tell. */
export async function liveSessions(wanted: (port: number) => boolean, routed: boolean): Promise<LiveSession[]> {
  const passing = routed ? await routedSessions() : [];
  return [...tcpSessions(wanted, LIVE_SIZE), ...passing.filter(({ port }) => wanted(port))].slice(0, LIVE_SIZE);
}

/** Resets the sessions of a source on these ports. Says what it could not do; those sessions hang instead. */
export async function resetSessions(source: Prefix, ports: readonly Ports[]): Promise<string | undefined> {
  if (ports.length === 0) return undefined;
  const mine = (session: LiveSession): boolean =>
    contains(source, session.source) && ports.some(({ first, last }) => first <= session.port && session.port <= last);
  const onPort = (port: number): boolean => ports.some(({ first, last }) => first <= port && port <= last);
  if (tcpSessions(onPort, LIVE_SIZE).some(mine)) {
    const filter = ports.flatMap(({ first, last }, index) => [
      ...(index === 0 ? [] : ['or']),
      ...['(', 'sport', '>=', `:${first}`, 'and', 'sport', '<=', `:${last}`, ')'],
    ]);
    const peer = `${printAddress(source.address)}/${source.length}`;
    const { ending, complaints } = await feedProgram(
      ['ss', '-K', '-H', '-n', '-t', 'state', 'connected', 'dst', peer, 'and', '(', ...filter, ')'],
      '',
      LIMITS,
    );
    if ('failed' in ending) return `cannot start ss: ${ending.failed}`;
    if (tcpSessions(onPort, LIVE_SIZE).some(mine))
      return `ss -K: ${complaints.trim() || 'the kernel can not reset sockets'}`;
  }
  await forget((await routedSessions()).filter(mine));
  return undefined;
}

async function forget(sessions: readonly RoutedSession[]): Promise<void> {
  for (const { source, sourcePort, destination, port } of sessions) {
    const tuple = [
      '-s',
      printAddress(source),
      '-d',
      printAddress(destination),
      '--sport',
      `${sourcePort}`,
      '--dport',
      `${port}`,
    ];
    await feedProgram(['conntrack', '-D', '-p', 'tcp', ...tuple], '', LIMITS);
  }
}

/** What conntrack knows to be led elsewhere; nothing where the tool is missing. */
async function routedSessions(): Promise<RoutedSession[]> {
  const lists = await Promise.all(
    ['ipv4', 'ipv6'].map((version) =>
      feedProgram(['conntrack', '-L', '-f', version, '-p', 'tcp', '--dst-nat'], '', LIMITS),
    ),
  );
  return lists.flatMap(({ output }) => output.split('\n').flatMap(parseConntrack));
}

/** A line of `conntrack -L`; nothing when the session is over or not yet answered. */
export function parseConntrack(line: string): RoutedSession[] {
  const match = /^tcp\s+6 \d+ (\S+) src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) src=/.exec(line);
  const [, state = '', from = '', to = '', sourcePort, port] = match ?? [];
  const [source, destination] = [parseAddress(from), parseAddress(to)];
  if (source === undefined || destination === undefined) return [];
  if (/^(SYN_SENT|SYN_SENT2|TIME_WAIT|CLOSE|NONE)$/.test(state)) return [];
  return [{ source, destination, sourcePort: Number(sourcePort), port: Number(port) }];
}
