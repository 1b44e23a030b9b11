/**
 * Run inside a namespace: `send-streams.ts INTERFACE MAC NEIGHBOUR-MAC` sends streams as fast as the kernel takes them, a thousand packets a
 * call, so that what is timed is the way of the packets and not their making. Orders and answers are JSON lines (program.ts).
 *
 * - New flows: each packet is the first of a flow, from a source of its own. UDP goes to a bound port; SYNs to a closed one, which
 *   answers each with a reset (a listener would change over to cookies).
 * - Established: one packet of a flow that was answered, again and again. TCP's is a bare acknowledgement after a real handshake.
 */

import { createInterface } from 'node:readline';
import { ipv4, parseAddress, printAddress } from '../src/core/address.ts';
import { addressOf, bind, interfaceIndex, recv, sendto, socket, syscall } from '../src/platform/libc.ts';
import { ethernet, ipv4Packet, type Segment, tcpSegment, udpSegment } from '../test/support/packet-builder.ts';
import { NEW_FLOWS, PUBLIC_PORT, type Stream, type StreamOrder } from './streams.ts';

const AF_INET = 2;
const AF_PACKET = 17;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const ETH_P_IP = 0x0800;
const SENDMMSG = { x64: 307, arm64: 269 }[process.arch as string];
const [SYN, SYN_ACK, ACK] = [0x02, 0x12, 0x10];

const FIRST_NEW = parseAddress('10.98.0.1')!;
const ESTABLISHED = '10.99.0.1';
const SOURCE_PORT = 40_000;
const UDP_PORT = 5353;
const CLOSED_PORT = 81;
/** What sendmmsg(2) takes at once, and the sizes of its structures on 64-bit machines. */
const AT_ONCE = 1024;
const [MESSAGE, VECTOR] = [64, 16];

const [device = '', mac = '', neighbourMac = ''] = process.argv.slice(2);
const wire = socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0);
// Protocol 0: it receives nothing.
bind(wire, linkAddress(0));

/** struct sockaddr_ll, packet(7). */
function linkAddress(protocol: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, interfaceIndex(device), true);
  return address;
}

/** struct sockaddr_in, ip(7). */
function internetAddress(port: number, address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  view.setInt32(4, parseAddress(address)!.d);
  return bytes;
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}

function frame(source: string, destination: string, segment: Segment): Uint8Array {
  return ethernet(ipv4Packet({ source, destination }, segment), {
    destination: macBytes(neighbourMac),
    source: macBytes(mac),
  });
}

/** Messages for sendmmsg(2), which point into each other. */
interface Messages {
  readonly headers: Uint8Array;
  readonly count: number;
  /** Kept from the collector. */
  readonly behind: readonly Uint8Array[];
}

/** `count` messages, of these frames in turn, which are all of one length. */
function messages(frames: readonly Uint8Array[], count: number): Messages {
  const length = frames[0]!.length;
  const bytes = new Uint8Array(frames.length * length);
  for (const [index, one] of frames.entries()) bytes.set(one, index * length);
  const vectors = new Uint8Array(count * VECTOR);
  const headers = new Uint8Array(count * MESSAGE);
  const [vectorView, headerView] = [new DataView(vectors.buffer), new DataView(headers.buffer)];
  for (let index = 0; index < count; index += 1) {
    const at = addressOf(bytes) + BigInt((index % frames.length) * length);
    vectorView.setBigUint64(index * VECTOR, at, true);
    vectorView.setBigUint64(index * VECTOR + 8, BigInt(length), true);
    headerView.setBigUint64(index * MESSAGE + 16, addressOf(vectors) + BigInt(index * VECTOR), true);
    headerView.setBigUint64(index * MESSAGE + 24, 1n, true);
  }
  return { headers, count, behind: [bytes, vectors] };
}

function sendAll({ headers, count }: Messages): void {
  if (SENDMMSG === undefined) throw new Error(`The number of sendmmsg is not known on ${process.arch}`);
  const start = addressOf(headers);
  for (let sent = 0; sent < count; ) {
    const most = Math.min(AT_ONCE, count - sent);
    sent += syscall('sendmmsg', SENDMMSG, wire, start + BigInt(sent * MESSAGE), most, 0);
  }
}

const streams = new Map<Stream, Messages>();

function begin(server: string): void {
  const sources = Array.from({ length: NEW_FLOWS }, (_, index) => printAddress(ipv4(FIRST_NEW.d + index)));
  const made = (segment: Segment): Messages =>
    messages(
      sources.map((source) => frame(source, server, segment)),
      NEW_FLOWS,
    );
  const sourcePort = SOURCE_PORT;
  const datagram = udpSegment({ sourcePort, destinationPort: UDP_PORT });
  streams.set('UDP, new flows', made(datagram));
  streams.set('TCP, new flows', made(tcpSegment({ sourcePort, destinationPort: CLOSED_PORT, flags: SYN })));
  const first = messages([frame(ESTABLISHED, server, datagram)], AT_ONCE);
  sendAll({ ...first, count: 1 });
  streams.set('UDP, established', first);
  const flow = { sourcePort, destinationPort: PUBLIC_PORT };
  const acknowledgement = (theirs: number): Uint8Array =>
    frame(ESTABLISHED, server, tcpSegment({ ...flow, sequence: 2, acknowledgement: theirs + 1, flags: ACK }));
  const ear = socket(AF_PACKET, SOCK_DGRAM_CLOEXEC, 0);
  bind(ear, linkAddress(ETH_P_IP));
  const knock = frame(ESTABLISHED, server, tcpSegment({ ...flow, sequence: 1, flags: SYN }));
  sendAll(messages([knock], 1));
  const established = messages([acknowledgement(sequenceOfAnswer(ear))], AT_ONCE);
  sendAll({ ...established, count: 1 });
  streams.set('TCP, established', established);
}

/** Waits for the SYN-ACK; the listener sends it at once. */
function sequenceOfAnswer(ear: number): number {
  const packet = new Uint8Array(2048);
  const view = new DataView(packet.buffer);
  for (;;) {
    recv(ear, packet, 0);
    if (view.getUint16(20) === PUBLIC_PORT && (packet[33]! & SYN_ACK) === SYN_ACK) return view.getUint32(24);
  }
}

function send(stream: Stream, repeated: number): number {
  const prepared = streams.get(stream);
  if (prepared === undefined) throw new Error(`"${stream}" has not begun`);
  const rounds = prepared.count === NEW_FLOWS ? 1 : Math.ceil(repeated / prepared.count);
  const start = performance.now();
  for (let round = 0; round < rounds; round += 1) sendAll(prepared);
  return (rounds * prepared.count * 1000) / (performance.now() - start);
}

let bound: number | undefined;

function obey(order: StreamOrder): number {
  if (order.do === 'send') return send(order.stream, order.repeated);
  if (order.do === 'begin') begin(order.server);
  if (order.do === 'bind') {
    bound = socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
    bind(bound, internetAddress(UDP_PORT, '0.0.0.0'));
  }
  if (order.do === 'answer') sendto(bound!, new Uint8Array(1), 0, internetAddress(SOURCE_PORT, ESTABLISHED));
  return 0;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, order } = JSON.parse(line) as { id: number; order: StreamOrder };
  try {
    console.log(JSON.stringify({ id, answer: obey(order) }));
  } catch (error) {
    console.log(JSON.stringify({ id, error: (error as Error).message }));
  }
}
