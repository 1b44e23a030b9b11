/** Doors and packets for the engine's tests, short to write: `door('7000,8000:udp')`, `packet(CLIENT, 7000)`. */

import { type Address, parseAddress } from '../../src/core/address.ts';
import { type Door, type Step, SYN } from '../../src/core/door.ts';
import type { Packet } from '../../src/core/packet.ts';

export const LOCAL = address('192.0.2.1');
export const CLIENT = address('198.51.100.2');

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`not an address: ${text}`);
  return parsed;
}

/** A sequence as knockd.conf writes it. */
export function steps(text: string): Step[] {
  return text.split(',').map((item) => {
    const [port = '', protocol = 'tcp'] = item.trim().split(':');
    if (protocol !== 'tcp' && protocol !== 'udp') throw new Error(`not a protocol: ${item}`);
    return { protocol, port: Number(port) };
  });
}

/** A door with a window of 5 s that counts bare SYNs and forgives two strays. */
export function door(sequence: string, changes: Partial<Door> = {}): Door {
  const tcpFlags = { set: SYN, clear: 0 };
  return { name: 'A', steps: steps(sequence), window: 5000, strays: 2, tcpFlags, ...changes };
}

let senders = 0;

/** A packet from `source` to a port, unlike any other: a bare SYN unless `changes` say otherwise. */
export function packet(source: Address, port: number, changes: Partial<Packet> = {}): Packet {
  senders += 1;
  return {
    source,
    destination: LOCAL,
    protocol: 'tcp',
    sourcePort: 1024 + (senders % 60_000),
    destinationPort: port,
    flags: changes.protocol === 'udp' ? 0 : SYN,
    sequence: changes.protocol === 'udp' ? 0 : senders,
    length: 40,
    ...changes,
  };
}
