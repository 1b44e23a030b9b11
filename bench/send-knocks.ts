/**
 * Run inside a namespace: `send-knocks.ts INTERFACE MAC` sends knocks and sweeps on that wire. Each line of standard input is an
 * order, answered by one line; knocker.ts speaks it. A knock is timed here, by one clock and in one process: from right before its
 * last packet is sent until the byte arrives that the door's command writes to a FIFO, or until a SYN to the door's port is answered.
 */

import { constants, openSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseAddress, printAddress } from '../src/core/address.ts';
import { bind, interfaceIndex, recv, SystemError, sendto, socket } from '../src/platform/libc.ts';
import { startSession } from '../src/platform/session.ts';
import { ipv4Packet, tcpSegment } from '../test/support/packet-builder.ts';
import type { EnterOrder, KnockOrder, Order, ShellOrder, SweepOrder } from './knocker.ts';

const AF_PACKET = 17;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const ETH_P_IP = 0x0800;
const MSG_DONTWAIT = 0x40;
const SYN_ACK = 0x12;
const RST = 0x04;
/** Milliseconds between two tries to enter, between two looks for an answer, and until there is no hope of one. */
const TRY_EVERY = 0.5;
const LOOK_EVERY = 0.05;
const NO_HOPE = 2000;

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

/** The sources are routed to this host and are none of its addresses: it sees the answers and gives none. */
function enter({ firstSource, destination, ports, count, port }: EnterOrder): number[] {
  const ear = socket(AF_PACKET, SOCK_DGRAM_CLOEXEC, 0);
  bind(ear, neighbour);
  const latencies: number[] = [];
  for (let index = 0; index < count; index += 1) {
    pause(40, 90);
    const source = counted(firstSource, index);
    const packets = ports.map((step) => syn(source, destination, step));
    const flow = { sourcePort: 1024 + Math.floor(Math.random() * 64_000), destinationPort: port };
    const [attempt, farewell] = [0x02, RST].map((flags) =>
      ipv4Packet({ source, destination }, tcpSegment({ ...flow, sequence: flags === RST ? 2 : 1, flags })),
    );
    for (const packet of packets.slice(0, -1)) {
      sendto(wire, packet, 0, neighbour);
      pause(4, 9);
    }
    while (receive(ear) !== undefined);
    const begin = performance.now();
    sendto(wire, packets.at(-1)!, 0, neighbour);
    for (let due = begin; !answered(ear, flow.sourcePort); Atomics.wait(sleeper, 0, 0, LOOK_EVERY)) {
      const now = performance.now();
      if (now - begin > NO_HOPE) throw new Error(`${source} does not get in`);
      if (now < due) continue;
      sendto(wire, attempt!, 0, neighbour);
      due += TRY_EVERY;
    }
    latencies.push(performance.now() - begin);
    sendto(wire, farewell!, 0, neighbour);
  }
  return latencies;
}

/** Has the SYN-ACK to this port of ours come? */
function answered(ear: number, port: number): boolean {
  for (let packet = receive(ear); packet; packet = receive(ear)) {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    if (view.getUint16(22) === port && (packet[33]! & SYN_ACK) === SYN_ACK) return true;
  }
  return false;
}

const received = new Uint8Array(2048);

/** The next packet, at least 40 bytes of it; undefined when there is none. */
function receive(ear: number): Uint8Array | undefined {
  const EAGAIN = 11;
  try {
    return received.subarray(0, Math.max(40, recv(ear, received, MSG_DONTWAIT)));
  } catch (error) {
    if (error instanceof SystemError && error.errno === EAGAIN) return undefined;
    throw error;
  }
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
  if ('enter' in order) return enter(order.enter);
  if ('knock' in order) return knock(order.knock);
  return 'shell' in order ? shell(order.shell) : sweep(order.sweep);
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ answer: await obey(JSON.parse(line) as Order) }));
}
