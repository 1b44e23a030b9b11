/**
 * Sessions from outside on protected ports: found, so that the guard's first load lets them go on, and reset when a `kill` door
 * closes. Local ones are in the kernel's socket table; `ss -K` resets them on both sides. Those that DNAT leads to a container
 * are in conntrack, and stay there: the guard answers the client's next packet with a reset because conntrack knows the session.
 * Taken out of conntrack, a session is entered again by the server's next packet, the other way round, and goes on.
 */

import { parseAddress, printAddress } from '../core/address.ts';
import { contains, type Prefix } from '../core/policy.ts';
import { feedProgram } from '../platform/process.ts';
import { tcpSessions } from '../platform/tcp-sessions.ts';
import { LIVE_SIZE, type LiveSession } from './nft-rules.ts';

/** First and last port, both included. */
export interface Ports {
  readonly first: number;
  readonly last: number;
}

const LIMITS = { timeout: 10_000, limit: 64 * 1024 * 1024 };

/**
 * The sessions on ports that `wanted` picks. `routed`: those of containers too, if `conntrack` is there to tell. Who is held in the
 * tarpit, at its port, has no session.
 */
export async function liveSessions(
  wanted: (port: number) => boolean,
  routed: boolean,
  tarpit?: number,
): Promise<LiveSession[]> {
  const passing = routed ? await routedSessions(tarpit) : [];
  return [...tcpSessions(wanted, LIVE_SIZE), ...passing.filter(({ port }) => wanted(port))].slice(0, LIVE_SIZE);
}

/** Resets the local sessions of a source on these ports. Says what it could not do; then they are reset when the client sends again. */
export async function resetSessions(source: Prefix, ports: readonly Ports[]): Promise<string | undefined> {
  const onPort = (port: number): boolean => ports.some(({ first, last }) => first <= port && port <= last);
  const anyLeft = (): boolean => tcpSessions(onPort, LIVE_SIZE).some((session) => contains(source, session.source));
  if (!anyLeft()) return undefined;
  const filter = ports.flatMap(({ first, last }, index) => [
    ...(index === 0 ? [] : ['or']),
    ...['(', 'sport', '>=', `:${first}`, 'and', 'sport', '<=', `:${last}`, ')'],
  ]);
  const peer = `${printAddress(source.address)}/${source.length}`;
  const argv = ['-K', '-H', '-n', '-t', 'state', 'connected', 'dst', peer, 'and', '(', ...filter, ')'];
  const { ending, complaints } = await feedProgram(['ss', ...argv], '', LIMITS);
  if ('failed' in ending) return `cannot start ss: ${ending.failed}`;
  return anyLeft() ? `ss -K: ${complaints.trim() || 'this kernel can not reset sockets'}` : undefined;
}

/** What conntrack knows to be led elsewhere; nothing where the tool is missing. */
async function routedSessions(tarpit: number | undefined): Promise<LiveSession[]> {
  const lists = await Promise.all(
    ['ipv4', 'ipv6'].map((version) =>
      feedProgram(['conntrack', '-L', '-f', version, '-p', 'tcp', '--dst-nat'], '', LIMITS),
    ),
  );
  return lists.flatMap(({ output }) => output.split('\n').flatMap((line) => parseConntrack(line, tarpit)));
}

/** A line of `conntrack -L`; nothing when the session is over, not yet answered, or answered by the tarpit. */
export function parseConntrack(line: string, tarpit?: number): LiveSession[] {
  const match = /^tcp\s+6 \d+ (\S+) src=(\S+) dst=\S+ sport=(\d+) dport=(\d+) src=\S+(?: dst=\S+ sport=(\d+))?/.exec(
    line,
  );
  const [, state = '', from = '', sourcePort, port, answering] = match ?? [];
  const source = parseAddress(from);
  if (source === undefined) return [];
  if (tarpit !== undefined && Number(answering) === tarpit) return [];
  if (/^(SYN_SENT|SYN_SENT2|TIME_WAIT|CLOSE|NONE)$/.test(state)) return [];
  return [{ source, sourcePort: Number(sourcePort), port: Number(port) }];
}
