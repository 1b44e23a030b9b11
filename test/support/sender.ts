/**
 * A host's hand on the wire: sends packets made by us, spoofed or malformed as the test likes, without a program start per
 * packet. One sender does one thing at a time; a flood beside a knock takes two.
 */

import { join } from 'node:path';
import type { Host, Interface } from './netns.ts';
import { parsePackets, type TimedPacket } from './packet-spec.ts';
import type { Running } from './running.ts';

/** Many packets to one port from many sources, each with its own source port. Ends at `count` packets or after `seconds`. */
export interface Flood {
  readonly protocol: 'tcp' | 'udp';
  readonly destination: string;
  readonly port: number;
  /** The sources are `sources` addresses counted up from here, in turn. */
  readonly firstSource: string;
  readonly sources: number;
  /** Packets per second. */
  readonly rate: number;
  readonly count: number;
  readonly seconds: number;
}

export interface Sent {
  readonly sent: number;
  readonly seconds: number;
}

/** What send-packets.ts reads, a line each. */
export type Order =
  | { readonly packets: readonly { readonly packet: string; readonly wait: number }[] }
  | { readonly frames: readonly string[] }
  | { readonly flood: Flood };

export interface Sender {
  /** Sends what the line says (notation: packet-spec.ts), or packets of the test's own making; resolves when the last is out. */
  send(packets: string | readonly TimedPacket[]): Promise<Sent>;
  /** Sends whole frames, link header included. */
  sendFrames(frames: readonly Uint8Array[]): Promise<Sent>;
  /** One TCP SYN each from a million sources to port 7000, at 10,000 a second for 5 seconds, unless told otherwise. */
  flood(flood: Pick<Flood, 'destination'> & Partial<Flood>): Promise<Sent>;
}

/** Starts a sender on a host's interface (its first, unless told); it ends with the topology. */
export function startSender(host: Host, face: Interface = host.interfaces[0]!): Sender {
  const program = join(import.meta.dirname, 'send-packets.ts');
  const running = host.spawn([process.execPath, program, face.name, face.peerMac], { input: { open: true } });
  let last: Promise<unknown> = Promise.resolve();
  const obey = (order: Order): Promise<Sent> => {
    const answer = last.then(() => give(running, order));
    last = answer.catch(() => {});
    return answer;
  };
  return {
    send(packets) {
      const list = typeof packets === 'string' ? parsePackets(packets) : packets;
      return obey({ packets: list.map(({ packet, wait }) => ({ packet: toHex(packet), wait })) });
    },
    sendFrames: (frames) => obey({ frames: frames.map(toHex) }),
    flood: (flood) =>
      obey({
        flood: {
          protocol: 'tcp',
          port: 7000,
          firstSource: flood.destination.includes(':') ? 'fd78::' : '100.64.0.0',
          sources: 1_000_000,
          rate: 10_000,
          count: Number.MAX_SAFE_INTEGER,
          seconds: 5,
          ...flood,
        },
      }),
  };
}

async function give(running: Running, order: Order): Promise<Sent> {
  const from = running.lines.length;
  running.write(`${JSON.stringify(order)}\n`);
  const [line] = await running.waitForLine(/^\{"sent".*/, 120_000, from);
  return JSON.parse(line) as Sent;
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
