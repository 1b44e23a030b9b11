/**
 * Run inside a namespace: `send-knocks.ts INTERFACE MAC` sends knocks and sweeps on that wire. Each line of standard input is an
 * order, answered by one line; knocker.ts speaks it. A knock is timed here, by one clock and in one process: from right before its
 * last packet is sent until the byte arrives that the door's command writes to a FIFO.
 */

import { constants, openSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseAddress, printAddress } from '../src/core/address.ts';
import { interfaceIndex, sendto, socket } from '../src/platform/libc.ts';
import { startSession } from '../src/platform/session.ts';
import { ipv4Packet, tcpSegment } from '../test/support/packet-builder.ts';
import type { KnockOrder, Order, ShellOrder, SweepOrder } from './knocker.ts';

const AF_PACKET = 17;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const ETH_P_IP = 0x0800;

const [device = '', mac = ''] = process.argv.slice(2);
const neighbour = linkAddress(interfaceIndex(device), mac);
// Protocol 0: this socket receives nothing.
const wire = socket(AF_PACKET, SOCK_DGRAM_CLOEXEC, 0);
const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** struct sockaddr_ll, packet(7). */
function linkAddress(index: number, hardware: string): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_IP);
  view.setInt32(4, index, true);
  address[11] = 6;
  address.set(
    hardware.split(':').map((byte) => Number.parseInt(byte, 16)),
    12,
  );
  return address;
}

function syn(source: string, destination: string, destinationPort: number): Uint8Array {
  const sourcePort = 1024 + Math.floor(Math.random() * 64_000);
  const sequence = Math.floor(Math.random() * 2 ** 32);
  return ipv4Packet({ source, destination }, tcpSegment({ sourcePort, destinationPort, sequence }));
}

function pause(from: number, to: number): void {
  Atomics.wait(sleeper, 0, 0, from + Math.random() * (to - from));
}

function knock({ firstSource, destination, ports, count, fifo }: KnockOrder): number[] {
  // Also open for writing: no end of file when a command closes its end.
  const fd = openSync(fifo, constants.O_RDWR);
  const byte = new Uint8Array(1);
  const latencies: number[] = [];
  for (let index = 0; index < count; index += 1) {
    // At random moments, so that no daemon's clock falls into step with ours.
    pause(40, 90);
    const packets = ports.map((port) => syn(counted(firstSource, index), destination, port));
    for (const packet of packets.slice(0, -1)) {
      sendto(wire, packet, 0, neighbour);
      pause(4, 9);
    }
    const begin = performance.now();
    sendto(wire, packets.at(-1)!, 0, neighbour);
    readSync(fd, byte, 0, 1, null);
    latencies.push(performance.now() - begin);
  }
  return latencies;
}

async function shell({ command, count, fifo }: ShellOrder): Promise<number[]> {
  const fd = openSync(fifo, constants.O_RDWR);
  const byte = new Uint8Array(1);
  const latencies: number[] = [];
  for (let index = 0; index < count; index += 1) {
    pause(40, 90);
    const begin = performance.now();
    const { ended } = startSession('/bin/sh', ['sh', '-c', command]);
    readSync(fd, byte, 0, 1, null);
    latencies.push(performance.now() - begin);
    await ended;
  }
  return latencies;
}

function sweep({ source, destination, order }: SweepOrder): number {
  const ports = Array.from({ length: 65_535 }, (_, index) => index + 1);
  if (order === 'random') shuffle(ports);
  const packets = ports.map((port) => syn(source, destination, port));
  const begin = performance.now();
  for (const packet of packets) sendto(wire, packet, 0, neighbour);
  return performance.now() - begin;
}

function shuffle(list: number[]): void {
  for (let last = list.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [list[last], list[other]] = [list[other]!, list[last]!];
  }
}

function counted(first: string, index: number): string {
  const address = parseAddress(first)!;
  return printAddress({ ...address, d: (address.d + index) | 0 });
}

function obey(order: Order): unknown {
  if ('knock' in order) return knock(order.knock);
  return 'shell' in order ? shell(order.shell) : sweep(order.sweep);
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ answer: await obey(JSON.parse(line) as Order) }));
}
