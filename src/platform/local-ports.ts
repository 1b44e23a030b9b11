/** The ports that the kernel takes for our own traffic: ip-sysctl's ip_local_port_range, and what is reserved of it. */

import { readFileSync } from 'node:fs';

export interface LocalPorts {
  readonly first: number;
  readonly last: number;
  /** Ports of the range that the kernel does not take by itself. */
  readonly reserved: readonly number[];
}

/** Undefined where the system does not tell. */
export function localPorts(): LocalPorts | undefined {
  try {
    const [first, last] = read('ip_local_port_range').split(/\s+/).map(Number);
    if (first === undefined || last === undefined) return undefined;
    return { first, last, reserved: parseReserved(read('ip_local_reserved_ports'), first, last) };
  } catch {
    return undefined;
  }
}

function read(name: string): string {
  return readFileSync(`/proc/sys/net/ipv4/${name}`, 'latin1').trim();
}

/** `8080,9148-9150`, as far as it lies between the two. */
export function parseReserved(text: string, first: number, last: number): readonly number[] {
  return text.split(',').flatMap((item) => {
    const [low = Number.NaN, high = low] = item.split('-', 2).map((part) => Number.parseInt(part, 10));
    const [from, to] = [Math.max(low, first), Math.min(high, last)];
    return from <= to ? Array.from({ length: to - from + 1 }, (_, i) => from + i) : [];
  });
}
