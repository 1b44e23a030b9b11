/**
 * Run as a program inside a network namespace: sends frames into one end of a veth pair and reads the other end through
 * capture filters in the kernel. Prints, as JSON, where the kernel and the software machine disagree.
 *
 *     node filter-kernel.ts SENDER RECEIVER SEED FILTERS PACKETS
 *
 * Every frame ends with a mark and its number, and every batch with a frame that an unfiltered socket waits for: once that
 * is there, the filtered socket, which the kernel serves first, has all it will ever get.
 */

import fc from 'fast-check';
import { encodeProgram } from '../../src/core/bpf.ts';
import { runFilter } from '../../src/core/bpf-machine.ts';
import { buildCaptureFilter, fitCaptureFilter, type Relaxation } from '../../src/core/capture-filter.ts';
import { close, interfaceIndex, recv, SystemError, sendto, setsockopt, socket } from '../../src/platform/libc.ts';
import { attachFilter, bindToInterface } from '../../src/platform/packet-socket.ts';
import { type FilterPacket, filterInputs, packetsFor, shouldPass } from './filter-packets.ts';

/** What a run found. `wrong` says for each packet what the kernel (`kept`) and the machine (`expected`) made of it. */
export interface KernelReport {
  readonly filters: number;
  readonly longest: number;
  readonly sent: number;
  readonly passed: number;
  readonly wrong: readonly { filter: number; ethertype: string; bytes: string; kept: number; expected: number }[];
}

const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const MSG_DONTWAIT = 0x40;
const EAGAIN = 11;

const MARK = Buffer.from('#postern');
const LAST = 0xffffffff;
const BATCH = 250;
const WAIT = 10_000;

function openReceiver(name: string, filter: Uint8Array | undefined): number {
  const fd = socket(AF_PACKET, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, new Uint8Array(Int32Array.of(16 << 20).buffer));
  if (filter) attachFilter(fd, filter);
  bindToInterface(fd, name);
  return fd;
}

/** Everything that waits on a socket: frame number → length. */
function drain(fd: number): Map<number, number> {
  const lengths = new Map<number, number>();
  const buffer = Buffer.alloc(2048);
  for (;;) {
    try {
      const length = recv(fd, buffer, MSG_DONTWAIT);
      const mark = buffer.subarray(0, length).indexOf(MARK);
      if (mark >= 0) lengths.set(buffer.readUInt32BE(mark + MARK.length), length);
    } catch (error) {
      if (error instanceof SystemError && error.errno === EAGAIN) return lengths;
      throw error;
    }
  }
}

/** The packet as the receiver's filter should meet it: marked, and some of them longer than what is kept. */
function marked(packet: FilterPacket, number: number): FilterPacket {
  const tail = Buffer.alloc(MARK.length + 4 + (number % 7 === 0 ? 400 : 0));
  MARK.copy(tail);
  tail.writeUInt32BE(number, MARK.length);
  return { protocol: packet.protocol, bytes: Buffer.concat([packet.bytes, tail]) };
}

/** The Ethernet frame that arrives as this packet: the kernel takes off one tag whose TPID it knows. */
function frameOf({ protocol, bytes }: FilterPacket, number: number): Buffer {
  const tagged = protocol === 0x8100 || protocol === 0x88a8 || number % 5 === 0;
  const header = Buffer.alloc(tagged ? 18 : 14);
  header.fill(0xff, 0, 6);
  header[6] = 2;
  if (tagged) header.writeUInt32BE(number % 2 ? 0x88a80007 : 0x81000007, 12);
  header.writeUInt16BE(protocol, header.length - 2);
  return Buffer.concat([header, bytes]);
}

function senderAddress(name: string): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setInt32(4, interfaceIndex(name), true);
  return address;
}

function compare(sender: string, receiver: string, seed: number, filters: number, packets: number): KernelReport {
  const from = socket(AF_PACKET, SOCK_RAW, 0);
  const to = senderAddress(sender);
  const control = openReceiver(receiver, undefined);
  const wrong: KernelReport['wrong'][number][] = [];
  let longest = 0;
  let sent = 0;
  let passed = 0;
  for (const [index, input] of fc.sample(filterInputs, { numRuns: filters, seed }).entries()) {
    // Every fourth is squeezed, to have relaxed programs too.
    const fitted = index % 4 === 3 ? fitCaptureFilter({ ...input, limit: 80 }) : undefined;
    const relaxed: readonly Relaxation[] = fitted?.relaxed ?? [];
    const program = fitted?.program ?? buildCaptureFilter(input);
    longest = Math.max(longest, program.length);
    const filtered = openReceiver(receiver, encodeProgram(program));
    const all = fc.sample(packetsFor(input), { numRuns: packets, seed: seed + index });
    for (let start = 0; start < all.length; start += BATCH) {
      const batch = all.slice(start, start + BATCH).map((packet, place) => marked(packet, start + place));
      for (const [place, packet] of batch.entries()) sendto(from, frameOf(packet, start + place), 0, to);
      sendto(from, frameOf(marked({ protocol: 0x88b5, bytes: new Uint8Array(60) }, LAST), 1), 0, to);
      const deadline = Date.now() + WAIT;
      let arrived = 0;
      for (let over = false; !over; ) {
        const lengths = drain(control);
        arrived += lengths.size;
        over = lengths.has(LAST);
        if (Date.now() > deadline) throw new Error(`Only ${arrived} of ${batch.length + 1} frames arrived`);
      }
      if (arrived !== batch.length + 1) throw new Error(`${arrived} of ${batch.length + 1} frames arrived`);
      const lengths = drain(filtered);
      for (const [place, packet] of batch.entries()) {
        const verdict = runFilter(program, packet.bytes, packet);
        if (verdict > 0 !== shouldPass(input, packet, relaxed)) throw new Error('The machine disagrees with the rules');
        const expected = Math.min(verdict, packet.bytes.length);
        const kept = lengths.get(start + place) ?? 0;
        sent++;
        if (kept > 0) passed++;
        if (kept === expected) continue;
        const bytes = Buffer.from(packet.bytes).toString('hex');
        wrong.push({ filter: index, ethertype: packet.protocol.toString(16), bytes, kept, expected });
      }
    }
    close(filtered);
  }
  close(control);
  close(from);
  return { filters, longest, sent, passed, wrong: wrong.slice(0, 5) };
}

if (import.meta.main) {
  const [sender = '', receiver = '', seed, filters, packets] = process.argv.slice(2);
  console.log(JSON.stringify(compare(sender, receiver, Number(seed), Number(filters), Number(packets))));
}
