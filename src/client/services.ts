/**
 * Names of ports, from the services file that every system has (services(5)): `name port/protocol alias… # comment`.
 *
 * Only the file is read, not NIS or another source of the name service switch. Names are case-sensitive, and the first line that has a name
 * wins, as with getservbyname(3).
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Protocol } from '../core/door.ts';

/** Ports by `name/protocol`. */
export type Services = ReadonlyMap<string, number>;

/** Reads the text of a services file; lines that make no sense are passed over. */
export function parseServices(text: string): Services {
  const services = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name, address, ...aliases] = (line.split('#')[0] ?? '').trim().split(/\s+/);
    const match = /^([0-9]{1,5})\/(tcp|udp)$/.exec(address ?? '');
    const port = Number(match?.[1]);
    if (!name || !match || port > 65535) continue;
    for (const known of [name, ...aliases]) {
      const key = `${known}/${match[2]}`;
      if (!services.has(key)) services.set(key, port);
    }
  }
  return services;
}

/**
 * The port of a service. A name that only the other protocol has is taken from there, as knock 0.8 does (`ssh:udp` is 22): a knock
 * speaks no protocol, it only needs the number.
 */
export function findService(services: Services, name: string, protocol: Protocol): number | undefined {
  return services.get(`${name}/${protocol}`) ?? services.get(`${name}/${protocol === 'tcp' ? 'udp' : 'tcp'}`);
}

/** Where this system keeps its services file. */
export function servicesFile(platform: NodeJS.Platform, environment: NodeJS.ProcessEnv): string {
  if (platform !== 'win32') return '/etc/services';
  return join(environment.SystemRoot ?? 'C:\\Windows', 'System32', 'drivers', 'etc', 'services');
}

/** The services of this system; none when it has no such file. */
export function readServices(): Services {
  try {
    return parseServices(readFileSync(servicesFile(process.platform, process.env), 'utf8'));
  } catch {
    return new Map();
  }
}
