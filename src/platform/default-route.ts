/** Which interfaces lead to the rest of the world: those with a default route, from /proc/net/route and ipv6_route (proc(5)). */

import { readFileSync } from 'node:fs';

/** Names, each once; empty without a default route or without /proc. */
export function defaultRouteInterfaces(): readonly string[] {
  const names = [
    ...rows('/proc/net/route').flatMap(([name, destination, , flags, , , , mask]) =>
      destination === '00000000' && mask === '00000000' && isUp(flags) ? [name] : [],
    ),
    ...rows('/proc/net/ipv6_route').flatMap(([destination, length, , , , , , , flags, name]) =>
      /^0+$/.test(destination ?? '') && length === '00' && name !== 'lo' && isUp(flags) ? [name] : [],
    ),
  ];
  return [...new Set(names.filter((name) => name !== undefined))];
}

const RTF_UP = 1;

function isUp(flags: string | undefined): boolean {
  return (Number.parseInt(flags ?? '0', 16) & RTF_UP) !== 0;
}

function rows(file: string): readonly (readonly string[])[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
  } catch {
    return [];
  }
}
