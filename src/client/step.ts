/**
 * One `port[:proto]` of a knock's command line.
 *
 * The notation is knock 0.8's, where every protocol it does not know means TCP. That stays, with a warning, since scripts may rely on it; but
 * `UDP` in capital letters is UDP (knock sends TCP there). Ports are checked: knock lets 70000 wrap to 4464 and sends to port 0.
 */

import type { Protocol, Step } from '../core/door.ts';
import { findService, type Services } from './services.ts';

/** A step with the port's own text (`http`), which is what knock prints. */
export interface NamedStep extends Step {
  readonly name: string;
}

export type ParsedStep =
  | { readonly step: NamedStep; readonly unknownProtocol: string | undefined }
  | { readonly problem: 'no-such-service' | 'out-of-range'; readonly name: string };

/** Reads one step; `services` is only called for a port that is not a number. With `allUdp` the notation's own protocol is ignored. */
export function parseStep(text: string, services: () => Services, allUdp = false): ParsedStep {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const notation = colon < 0 ? 'tcp' : text.slice(colon + 1).toLowerCase();
  const protocol: Protocol = allUdp || notation === 'udp' ? 'udp' : 'tcp';
  const unknownProtocol = allUdp || notation === 'udp' || notation === 'tcp' ? undefined : text.slice(colon + 1);
  if (name !== '' && !isNumber(name)) {
    const port = findService(services(), name, protocol);
    return port === undefined
      ? { problem: 'no-such-service', name }
      : { step: { name, protocol, port }, unknownProtocol };
  }
  const port = Number(name);
  if (port < 1 || port > 65535) return { problem: 'out-of-range', name };
  return { step: { name, protocol, port }, unknownProtocol };
}

/** What strtoul(3) takes whole, as getaddrinfo asks it before it looks for a service of that name; a negative number is no port. */
function isNumber(text: string): boolean {
  return /^\s*\+?[0-9]+$/.test(text);
}
