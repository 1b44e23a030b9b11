/**
 * What a first configuration takes for granted about this host: the ports of its SSH server, the interfaces that knocks can come in by, and
 * the address that a client knows it by.
 */

import { hostname } from 'node:os';
import { type Address, family, isLinkLocal, isLoopback, parseAddress, printAddress } from '../core/address.ts';
import { defaultRouteInterfaces } from '../platform/default-route.ts';
import { addressesOf, interfaceNames, interfacesWith } from '../platform/interfaces.ts';
import type { SshPorts } from '../platform/ssh-server.ts';
import { callersSession } from './ssh-session.ts';
import type { Terminal } from './terminal.ts';

type Session = Pick<Terminal, 'environment'>;

const SSH_PORT = 22;

/** The port of the session that we are called from, and those that the SSH server was found at; one that is usual, where there is neither. */
export function sshPortsOf({ environment }: Session, found: SshPorts | undefined): readonly number[] {
  const session = callersSession(environment);
  const ports = [...new Set([...(session ? [session.port] : []), ...(found?.ports ?? [])])];
  return ports.length > 0 ? ports.sort((x, y) => x - y) : [SSH_PORT];
}

/** A line for people: how the ports were found. */
export function describeSshPorts({ environment }: Session, found: SshPorts | undefined): string {
  const ports = sshPortsOf({ environment }, found)
    .map((port) => `tcp/${port}`)
    .join(', ');
  if (found?.by === 'listener') return `The SSH server listens on ${ports}`;
  if (found !== undefined) return `The SSH server is configured for ${ports} (sshd -T)`;
  return callersSession(environment)
    ? `This SSH session came in at ${ports}`
    : `No SSH server was found here: ${ports} is what is usual`;
}

/** Where the present session came in, and where the way out is: who comes back may come by either. */
export function usualInterfaces({ environment }: Session): readonly string[] {
  const server = sessionAddress(environment);
  const inward = server ? interfacesWith(server).filter((name) => name !== 'lo') : [];
  // An address that no interface has is led here by somebody else, from wherever.
  if (server && inward.length === 0) return ['any'];
  const found = [...new Set([...inward, ...defaultRouteInterfaces()])];
  if (found.length > 0) return found;
  return [interfaceNames().find((name) => name !== 'lo') ?? 'any'];
}

/** By which a client knows this machine, as far as we can tell, and where its knocks are heard. */
export function ourAddress(interfaces: readonly string[], { environment }: Session): string {
  const all = interfaces.flatMap((name) => addressesOf(name, true));
  const server = sessionAddress(environment);
  const isHeard =
    server && (interfaces.includes('any') || interfacesWith(server).some((name) => interfaces.includes(name)));
  if (isHeard) return printAddress(server);
  const good = all.filter((address) => !isLoopback(address) && !isLinkLocal(address));
  const first = good.find((address) => family(address) === 4) ?? good[0];
  return first ? printAddress(first) : hostname();
}

function sessionAddress(environment: Session['environment']): Address | undefined {
  const session = callersSession(environment);
  const address = session && parseAddress(session.server);
  return address && !isLoopback(address) && !isLinkLocal(address) ? address : undefined;
}
