/**
 * Packets as one readable line, in the notation of the recorded knockd runs:
 *
 *     src=10.77.1.2 dst=10.77.1.1: 7000 8000/SA u9000 @0.5 8000 x2
 *
 * - `7000` is a TCP SYN to that port, `7000/FPR` has those flags (letters of FSRPAU, `N` for none), `u9000` is a UDP datagram of one byte;
 *   `100-200` stands for every port of the range. Each has a source port and a sequence number of its own.
 * - `x2` says that the packet before it is sent twice, byte for byte: a retransmission.
 * - `src=`, `dst=` and `gap=` (seconds between packets, 0.005 unless said) hold for what follows; `@0.5` waits half a second.
 */

import { ipv4Packet, ipv6Packet, type Segment, tcpSegment, udpSegment } from './packet-builder.ts';

export interface TimedPacket {
  /** An IP packet, without a link header. */
  readonly packet: Uint8Array;
  /** Milliseconds to wait before it. */
  readonly wait: number;
}

const FLAG_LETTERS = 'FSRPAU';

/** The packets that `text` means, in order; throws on a word it does not know. */
export function parsePackets(text: string, random: () => number = Math.random): TimedPacket[] {
  const packets: TimedPacket[] = [];
  let source: string | undefined;
  let destination: string | undefined;
  let gap = 5;
  let wait = 0;
  const put = (segment: Segment): void => {
    if (source === undefined || destination === undefined)
      throw new Error(`No src= or dst= before a port in "${text}"`);
    const build = source.includes(':') ? ipv6Packet : ipv4Packet;
    packets.push({ packet: build({ source, destination }, segment), wait: packets.length === 0 ? wait : wait + gap });
    wait = 0;
  };
  const seconds = (digits: string): number => Number(digits) * 1000;
  for (const word of text.trim().split(/\s+/)) {
    const setting = /^(src|dst|gap)=(.+?):?$/.exec(word);
    const pause = /^@([0-9.]+)$/.exec(word);
    const copies = /^x([0-9]+)$/.exec(word);
    const port = /^(u?)([0-9]+)(?:-([0-9]+))?(?:\/([FSRPAUN]+))?$/.exec(word);
    if (setting) {
      const [, name, value] = setting as unknown as [string, string, string];
      if (name === 'src') source = value;
      else if (name === 'dst') destination = value;
      else gap = seconds(value);
    } else if (pause) {
      wait += seconds(pause[1]!);
    } else if (copies) {
      const last = packets.at(-1);
      if (!last) throw new Error(`Nothing to repeat before "${word}" in "${text}"`);
      for (let copy = 1; copy < Number(copies[1]); copy += 1) packets.push({ packet: last.packet, wait: gap });
    } else if (port) {
      const [, udp, first, last = first, letters = 'S'] = port as unknown as [string, string, string, string?, string?];
      for (let number = Number(first); number <= Number(last); number += 1) {
        const ports = { sourcePort: 1024 + Math.floor(random() * 64_000), destinationPort: number };
        if (udp !== '') put(udpSegment(ports));
        else put(tcpSegment({ ...ports, sequence: Math.floor(random() * 2 ** 32), flags: flagBits(letters) }));
      }
    } else {
      throw new Error(`Cannot read "${word}" in "${text}"`);
    }
  }
  return packets;
}

function flagBits(letters: string): number {
  return [...letters].reduce((bits, letter) => bits | (letter === 'N' ? 0 : 1 << FLAG_LETTERS.indexOf(letter)), 0);
}
