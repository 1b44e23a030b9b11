/**
 * The packet socket as the keeper opens it: AF_PACKET, SOCK_DGRAM (the kernel takes the link header off, whatever it is), a
 * TPACKET_V3 ring, a filter. packet(7), Documentation/networking/packet_mmap.rst.
 *
 * Order matters: the socket is opened for protocol 0, then the filter, then the ring, and only then bound, so no unfiltered
 * packet ever gets in. The ring has many small blocks: a block is handed over when it is full or `RETIRE_MS` old, so what the
 * ring holds when the reader stalls is blocks × time, not bytes. Descriptors are close-on-exec: no command inherits one.
 */

import { addressOf, bind, close, getsockopt, interfaceIndex, SystemError, setsockopt, socket } from './libc.ts';

const AF_PACKET = 17;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const ETH_P_ALL_BE = 0x0300;

const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_ATTACH_FILTER = 26;

const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_VERSION = 10;
const PACKET_IGNORE_OUTGOING = 23;
const TPACKET_V3 = 2;

export const BLOCK_SIZE = 16 * 1024;
export const BLOCK_COUNT = 512;
const FRAME_SIZE = 2048;
const RETIRE_MS = 1;

/** Opens a socket that receives nothing yet: filter attached, ring set, not bound. `filter` is an array of `struct sock_filter`. */
export function openPacketSocket(filter: Uint8Array): number {
  const fd = socket(AF_PACKET, SOCK_DGRAM_CLOEXEC, 0);
  try {
    attachFilter(fd, filter);
    setsockopt(fd, SOL_PACKET, PACKET_VERSION, words(TPACKET_V3));
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, words(1));
    const frames = (BLOCK_SIZE / FRAME_SIZE) * BLOCK_COUNT;
    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, words(BLOCK_SIZE, BLOCK_COUNT, FRAME_SIZE, frames, RETIRE_MS, 0, 0));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Replaces the filter in one step; packets in between see either the old or the new one. */
export function attachFilter(fd: number, filter: Uint8Array): void {
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length / 8, true);
  view.setBigUint64(8, addressOf(filter), true);
  setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, filter);
}

/** Starts (or, after the interface came back under a new number, restarts) delivery. `any` is every interface of the namespace. */
export function bindToInterface(fd: number, name: string): void {
  const index = name === 'any' ? 0 : interfaceIndex(name);
  if (name !== 'any' && index === 0) throw new SystemError('bind', ENODEV);
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETH_P_ALL_BE, true);
  view.setInt32(4, index, true);
  bind(fd, address);
  const pending = socketError(fd);
  if (pending !== 0) throw new SystemError('bind', pending);
}

/** Reads and clears the socket's pending error (ENETDOWN when its interface went away); 0 when there is none. */
export function socketError(fd: number): number {
  const value = new Uint8Array(4);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, value);
  return new DataView(value.buffer).getInt32(0, true);
}

/** What passed the filter, and how much of that the ring had no room for, since the last call: the kernel resets on reading. */
export function packetStatistics(fd: number): { readonly received: number; readonly lost: number } {
  const value = new Uint8Array(12);
  getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, value);
  const view = new DataView(value.buffer);
  return { received: view.getUint32(0, true), lost: view.getUint32(4, true) };
}

const ENODEV = 19;

function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}
