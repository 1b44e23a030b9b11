/**
 * Run inside a namespace: `send-packets.ts INTERFACE MAC` sends what it is told on that wire to that neighbour, past routing and firewall,
 * from whatever source address a packet claims. Each line of standard input is an order, answered by one line; sender.ts speaks it.
 *
 *     {"packets":[{"packet":HEX,"wait":MS}…]}          IP packets, the waits between them kept
 *     {"frames":[HEX…]}                                whole link-layer frames (tags, wrong addresses)
 *     {"flood":{…}}                                    see `Flood` in sender.ts
 *  →  {"sent":N,"seconds":S}
 */

import { createInterface } from 'node:readline';
import { parseAddress } from '../../src/core/address.ts';
import { interfaceIndex, SystemError, sendto, socket } from '../../src/platform/libc.ts';
import { checksum, ipv4Packet, ipv6Packet, tcpSegment, udpSegment } from './packet-builder.ts';
import type { Flood, Order, Sent } from './sender.ts';

const AF_PACKET = 17;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;

const [device = '', mac = ''] = process.argv.slice(2);
const index = interfaceIndex(device);
if (index === 0) throw new Error(`No interface "${device}"`);

/** struct sockaddr_ll, packet(7). */
function linkAddress(protocol: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, index, true);
  address[11] = 6;
  address.set(
    mac.split(':').map((byte) => Number.parseInt(byte, 16)),
    12,
  );
  return address;
}

const toIpv4 = linkAddress(ETH_P_IP);
const toIpv6 = linkAddress(ETH_P_IPV6);
// Protocol 0: these sockets receive nothing.
const packetSocket = socket(AF_PACKET, SOCK_DGRAM_CLOEXEC, 0);
const frameSocket = socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0);

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Waits without the event loop, whose timers are a millisecond coarse and late under load. */
function waitUntil(moment: number): void {
  for (let left = moment - performance.now(); left > 0; left = moment - performance.now()) {
    if (left > 0.2) Atomics.wait(sleeper, 0, 0, left - 0.1);
  }
}

function sendPacket(packet: Uint8Array): void {
  sendto(packetSocket, packet, 0, packet[0]! >>> 4 === 6 ? toIpv6 : toIpv4);
}

/** A link that goes down meanwhile loses packets, as links do. */
function sendOrLose(packet: Uint8Array): void {
  try {
    sendPacket(packet);
  } catch (error) {
    if (!(error instanceof SystemError && LOST.includes(error.code))) throw error;
  }
}

const LOST: readonly string[] = ['ENOBUFS', 'ENETDOWN'];

/** One packet whose source address and port change from copy to copy, with its checksums kept right by arithmetic. */
function floodPacket(flood: Flood): { packet: Uint8Array; stamp: (round: number) => void } {
  const source = parseAddress(flood.firstSource);
  if (!source) throw new Error(`Cannot read the address "${flood.firstSource}"`);
  const six = flood.firstSource.includes(':');
  const build = six ? ipv6Packet : ipv4Packet;
  const ports = { sourcePort: 0, destinationPort: flood.port };
  const segment = flood.protocol === 'udp' ? udpSegment(ports) : tcpSegment({ ...ports, sequence: 0 });
  const zero = six ? '::' : '0.0.0.0';
  const packet = build({ source: zero, destination: flood.destination }, segment);
  const view = new DataView(packet.buffer, packet.byteOffset);
  const header = six ? 40 : 20;
  const words = six ? [source.a, source.b, source.c, source.d] : [source.d];
  const sourceAt = six ? 8 : 12;
  const checksumAt = header + (flood.protocol === 'udp' ? 6 : 16);
  for (const [place, word] of words.entries()) view.setInt32(sourceAt + place * 4, word);
  const last = sourceAt + (words.length - 1) * 4;
  // Both sums as they are without the last word of the source address and without the source port (RFC 1624).
  const fixed = words.slice(0, -1).reduce((sum, word) => sum + (word >>> 16) + (word & 0xffff), 0);
  const segmentSum = (~view.getUint16(checksumAt) & 0xffff) + fixed;
  view.setInt32(last, 0);
  if (!six) view.setUint16(10, 0);
  const headerSum = ~checksum(packet.subarray(0, 20)) & 0xffff;
  const base = words.at(-1)!;
  return {
    packet,
    stamp(round) {
      const word = (base + (round % flood.sources)) | 0;
      const port = 1024 + ((round * 7919) % 64_000);
      const address = (word >>> 16) + (word & 0xffff);
      view.setInt32(last, word);
      view.setUint16(header, port);
      view.setUint16(checksumAt, folded(segmentSum + address + port));
      if (!six) view.setUint16(10, folded(headerSum + address));
    },
  };
}

function folded(sum: number): number {
  const once = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~((once & 0xffff) + (once >>> 16)) & 0xffff;
}

function sendFlood(flood: Flood): number {
  const { packet, stamp } = floodPacket(flood);
  const start = performance.now();
  const end = start + flood.seconds * 1000;
  let sent = 0;
  while (sent < flood.count) {
    const now = performance.now();
    if (now >= end) break;
    const due = Math.min(flood.count, Math.ceil(((now - start) * flood.rate) / 1000));
    if (sent >= due) {
      waitUntil(Math.min(end, start + ((sent + 1) * 1000) / flood.rate));
      continue;
    }
    // In short runs, so that the time limit holds whatever the rate.
    for (const limit = Math.min(due, sent + 256); sent < limit; sent += 1) {
      stamp(sent);
      sendOrLose(packet);
    }
  }
  return sent;
}

function obey(order: Order): number {
  if ('flood' in order) return sendFlood(order.flood);
  if ('frames' in order) {
    for (const frame of order.frames) sendto(frameSocket, Buffer.from(frame, 'hex'), 0, toIpv4);
    return order.frames.length;
  }
  let moment = performance.now();
  for (const { packet, wait } of order.packets) {
    moment += wait;
    waitUntil(moment);
    sendPacket(Buffer.from(packet, 'hex'));
  }
  return order.packets.length;
}

for await (const line of createInterface({ input: process.stdin })) {
  const start = performance.now();
  const sent = obey(JSON.parse(line) as Order);
  const answer: Sent = { sent, seconds: (performance.now() - start) / 1000 };
  console.log(JSON.stringify(answer));
}
