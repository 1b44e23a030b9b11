/**
 * Reads a TPACKET_V3 ring that the keeper set up (Documentation/networking/packet_mmap.rst, <linux/if_packet.h>).
 *
 * Each block is copied and given back to the kernel before its packets are looked at: a packet that kills the reader is never
 * read a second time by its successor, and a slow reader holds no block. Whoever maps an inherited ring goes on at the oldest
 * unread block, or at the one the kernel is filling: block sequence numbers tell, so a restart loses nothing.
 * Fields are in the machine's byte order; all machines this runs on are little-endian. Only packets addressed to this host
 * (PACKET_HOST) count.
 */

import { decodeCooked } from '../core/link.ts';
import type { Drop, Packet } from '../core/packet.ts';
import { mmapShared, type ReadableWatch, watchReadable } from '../platform/libc.ts';
import { BLOCK_COUNT, BLOCK_SIZE, packetStatistics, socketError } from '../platform/packet-socket.ts';
import type { CaptureSource, PacketSink } from './source.ts';

// struct tpacket_block_desc
const BLOCK_STATUS = 8;
const PACKET_COUNT = 12;
const FIRST_PACKET = 16;
const BLOCK_LENGTH = 20;
const SEQUENCE = 24;

// struct tpacket3_hdr
const NEXT = 0;
const SECONDS = 4;
const NANOSECONDS = 8;
const CAPTURED = 12;
const WIRE = 16;
const STATUS = 20;
const DATA = 24;
const HEADER = 48;

// struct sockaddr_ll, behind the header
const LL_PROTOCOL = HEADER + 2;
const LL_HARDWARE = HEADER + 8;
const LL_TYPE = HEADER + 10;
const LL_END = HEADER + 20;

const STATUS_KERNEL = 0;
const STATUS_USER = 1;
/** TP_STATUS_VLAN_VALID: the kernel took a tag off. */
const STATUS_TAGGED = 0x10;
const ETHERTYPE_VLAN = 0x8100;
const PACKET_HOST = 0;
const ARPHRD_ETHER = 1;
const ARPHRD_LOOPBACK = 772;
const ETHERNET_HEADER = 14;

/** Blocks read in one go before timers and the keeper's messages get their turn. */
const BLOCKS_PER_TURN = 64;

export function readRing(fd: number, sink: PacketSink): CaptureSource {
  const memory = mmapShared(fd, BLOCK_SIZE * BLOCK_COUNT);
  const bytes = new Uint8Array(memory);
  const view = new DataView(memory);
  const status = new Int32Array(memory);
  const block = new Uint8Array(BLOCK_SIZE);
  const header = new DataView(block.buffer);
  let next = firstBlock(blocksOf(view, status));
  let watch: ReadableWatch | undefined;
  let closed = false;

  const drain = (): void => {
    for (let turn = 0; turn < BLOCKS_PER_TURN; turn++) {
      const start = next * BLOCK_SIZE;
      const word = (start + BLOCK_STATUS) / 4;
      if ((Atomics.load(status, word) & STATUS_USER) === 0) break;
      const length = Math.min(view.getUint32(start + BLOCK_LENGTH, true), BLOCK_SIZE);
      block.set(bytes.subarray(start, start + length));
      Atomics.store(status, word, STATUS_KERNEL);
      next = (next + 1) % BLOCK_COUNT;
      readBlock(block, header, length, sink);
    }
    sink.drained();
  };

  // An interface that goes down raises ENETDOWN, which stops the watch; cleared, the socket goes on when it is back.
  const rearm = (): void => {
    if (closed) return;
    socketError(fd);
    watch?.close();
    watch = watchReadable(fd, drain, () => setTimeout(rearm, REARM_MS));
  };
  rearm();

  return {
    statistics: () => packetStatistics(fd),
    close: () => {
      closed = true;
      watch?.close();
    },
  };
}

const REARM_MS = 20;

/** The blocks of a ring as somebody sees them who does not stop the kernel from filling them meanwhile. */
export interface Blocks {
  readonly count: number;
  /** Rises by one with every block the kernel begins to fill; 0 for one it has not reached yet. */
  sequence(index: number): bigint;
  /** Full or old enough, and not read yet. */
  waiting(index: number): boolean;
}

/**
 * Where to begin: the oldest block that waits to be read, else the one that is being filled. While this looks, that one may be handed
 * over, and the next; what is older than the newest at a first look changes no more, so a second look at those tells for sure.
 */
export function firstBlock(blocks: Blocks): number {
  let newest = { index: 0, sequence: -1n };
  for (let index = 0; index < blocks.count; index++) {
    const sequence = blocks.sequence(index);
    if (sequence > newest.sequence) newest = { index, sequence };
  }
  let first = newest;
  for (let index = 0; index < blocks.count; index++) {
    if (!blocks.waiting(index)) continue;
    const sequence = blocks.sequence(index);
    if (sequence < first.sequence) first = { index, sequence };
  }
  return first.index;
}

function blocksOf(view: DataView, status: Int32Array): Blocks {
  return {
    count: BLOCK_COUNT,
    sequence: (index) => view.getBigUint64(index * BLOCK_SIZE + SEQUENCE, true),
    waiting: (index) => (Atomics.load(status, (index * BLOCK_SIZE + BLOCK_STATUS) / 4) & STATUS_USER) !== 0,
  };
}

/**
 * Of two tags the kernel takes one off and names the protocol behind both, but leaves the second in front of the data. Only where
 * it says that there was a tag is the packet read that way: no stranger chooses how his bytes are read.
 */
function decodeTagged(protocol: number, packet: Uint8Array, wire: number, tagged: boolean): Packet | Drop {
  const decoded = decodeCooked(protocol, packet, wire);
  if (!tagged || !('drop' in decoded) || decoded.drop !== 'ip-header') return decoded;
  return decodeCooked(ETHERTYPE_VLAN, packet, wire);
}

function readBlock(block: Uint8Array, header: DataView, length: number, sink: PacketSink): void {
  const count = header.getUint32(PACKET_COUNT, true);
  let offset = header.getUint32(FIRST_PACKET, true);
  for (let index = 0; index < count && offset + LL_END <= length; index++) {
    if (header.getUint8(offset + LL_TYPE) === PACKET_HOST) {
      const data = offset + header.getUint16(offset + DATA, true);
      const captured = header.getUint32(offset + CAPTURED, true);
      const wire = header.getUint32(offset + WIRE, true);
      const hardware = header.getUint16(offset + LL_HARDWARE, true);
      const time = header.getUint32(offset + SECONDS, true) * 1000 + header.getUint32(offset + NANOSECONDS, true) / 1e6;
      const linkHeader = hardware === ARPHRD_ETHER || hardware === ARPHRD_LOOPBACK ? ETHERNET_HEADER : 0;
      const packet = block.subarray(data, Math.min(data + captured, length));
      const tagged = (header.getUint32(offset + STATUS, true) & STATUS_TAGGED) !== 0;
      const protocol = header.getUint16(offset + LL_PROTOCOL, false);
      sink.packet(decodeTagged(protocol, packet, wire, tagged), time, wire + linkHeader);
    }
    const step = header.getUint32(offset + NEXT, true);
    if (step === 0) return;
    offset += step;
  }
}
