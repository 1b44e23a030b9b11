/**
 * A host's addresses, asked for once per run. (knock 0.8 asks again for every port, so a name with several addresses can spread one knock
 * over several hosts.) The order is the system's (RFC 6724), and failures have getaddrinfo's own words.
 */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Family } from '../core/address.ts';

/** A place to knock at. The address is text, because an IPv6 link-local one carries its zone (`fe80::1%eth0`). */
export interface HostAddress {
  readonly address: string;
  readonly family: Family;
}

/** The host has no address of the wanted family; the message is gai_strerror(3)'s. */
export class ResolveError extends Error {
  override readonly name = 'ResolveError';
}

/** All addresses of a host, the preferred first, at least one; throws `ResolveError`. */
export async function resolveHost(host: string, family?: Family): Promise<readonly [HostAddress, ...HostAddress[]]> {
  if (host === '') throw new ResolveError(NO_NAME);
  const literal = isIP(host);
  if (literal === 4 || literal === 6) {
    if (family && family !== literal) throw new ResolveError(WRONG_FAMILY);
    return [{ address: host, family: literal }];
  }
  try {
    const found = await lookup(host, { all: true, family: family ?? 0, order: 'verbatim' });
    const [first, ...others] = found.map(
      ({ address }): HostAddress => ({ address, family: isIP(address) === 6 ? 6 : 4 }),
    );
    if (!first) throw new ResolveError(NO_NAME);
    return [first, ...others];
  } catch (error) {
    if (error instanceof ResolveError) throw error;
    throw new ResolveError(describeLookup(error), { cause: error });
  }
}

const NO_NAME = 'Name or service not known';
const WRONG_FAMILY = 'Address family for hostname not supported';

/** glibc's words for the resolver errors that can happen here, by libuv's numbers (uv.h, UV_EAI_*), the same on every system. */
const WORDS: ReadonlyMap<number | undefined, string> = new Map([
  [-3000, WRONG_FAMILY],
  [-3001, 'Temporary failure in name resolution'],
  [-3004, 'Non-recoverable failure in name resolution'],
  [-3005, 'ai_family not supported'],
  [-3006, 'Memory allocation failure'],
  [-3007, 'No address associated with hostname'],
  [-3008, NO_NAME],
]);

function describeLookup(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { errno, code } = error as NodeJS.ErrnoException;
  // libuv's own answer to a name that is longer than any host's.
  if (code === 'EINVAL') return NO_NAME;
  return WORDS.get(errno) ?? error.message;
}
