/**
 * Descriptors handed from one process to another over a Unix socket that keeps packets apart (SCM_RIGHTS of unix(7), SOCK_SEQPACKET). Linux,
 * 64 bits: the structures are the kernel's, not the C library's.
 */

import { addressOf, close, SystemError, syscall } from './libc.ts';
import { syscallNumber } from './syscalls.ts';

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_TRUNCATED = 0x20 | 0x08; // MSG_TRUNC | MSG_CTRUNC

/** SCM_MAX_FD: the kernel passes no more at a time. */
const MOST_DESCRIPTORS = 253;
/** struct cmsghdr: length, level, type. */
const CONTROL_HEADER = 16;
/** struct msghdr: name, its length, vectors, how many, control data, its length, flags. */
const MESSAGE_HEADER = 56;
const CONTROL_LENGTH_AT = 40;
const FLAGS_AT = 48;

/** Two ends of a socket that keeps packets apart; neither is inherited by a program that is executed. */
export function packetPair(): readonly [number, number] {
  return socketPair(SOCK_SEQPACKET);
}

/** Two ends of a stream. */
export function streamPair(): readonly [number, number] {
  return socketPair(SOCK_STREAM);
}

/** A pipe: where to read from, and where to write to. */
export function pipe(): readonly [number, number] {
  const ends = new Int32Array(2);
  syscall('pipe2', syscallNumber('pipe2'), new Uint8Array(ends.buffer), SOCK_CLOEXEC);
  return [ends[0] ?? -1, ends[1] ?? -1];
}

function socketPair(type: number): readonly [number, number] {
  const ends = new Int32Array(2);
  const number = syscallNumber('socketpair');
  syscall('socketpair', number, AF_UNIX, type | SOCK_CLOEXEC, 0, new Uint8Array(ends.buffer));
  return [ends[0] ?? -1, ends[1] ?? -1];
}

/** Sends a packet (at least one byte) with descriptors, which stay open here. Does not wait: throws EAGAIN when the other side does not read. */
export function sendPacket(socket: number, text: string, descriptors: readonly number[] = []): void {
  if (descriptors.length > MOST_DESCRIPTORS) throw new SystemError('sendmsg', EINVAL);
  const data = new TextEncoder().encode(text);
  const control = new Uint8Array(descriptors.length === 0 ? 0 : space(descriptors.length));
  if (descriptors.length > 0) {
    const view = new DataView(control.buffer);
    view.setBigUint64(0, BigInt(CONTROL_HEADER + 4 * descriptors.length), true);
    view.setInt32(8, SOL_SOCKET, true);
    view.setInt32(12, SCM_RIGHTS, true);
    for (const [index, fd] of descriptors.entries()) view.setInt32(CONTROL_HEADER + 4 * index, fd, true);
  }
  const { header, vector } = messageOf(data, control);
  syscall('sendmsg', syscallNumber('sendmsg'), socket, header, MSG_DONTWAIT | MSG_NOSIGNAL, vector, data, control);
}

const EINVAL = 22;

export interface Packet {
  /** Empty at the end: the other side is gone. */
  readonly text: string;
  /** Ours now, to be closed; not inherited. */
  readonly descriptors: readonly number[];
}

/** The next packet of at most `longest` bytes; undefined when none is there yet. Throws for one that did not fit. */
export function receivePacket(socket: number, longest: number): Packet | undefined {
  const data = new Uint8Array(longest);
  const control = new Uint8Array(space(MOST_DESCRIPTORS));
  const { header, vector } = messageOf(data, control);
  let length: number;
  try {
    const flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
    length = syscall('recvmsg', syscallNumber('recvmsg'), socket, header, flags, vector, data, control);
  } catch (error) {
    if (error instanceof SystemError && (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK')) return undefined;
    throw error;
  }
  const view = new DataView(header.buffer);
  const descriptors = descriptorsIn(control.subarray(0, Number(view.getBigUint64(CONTROL_LENGTH_AT, true))));
  if ((view.getInt32(FLAGS_AT, true) & MSG_TRUNCATED) !== 0) {
    for (const fd of descriptors) close(fd);
    throw new Error('A packet with descriptors did not fit');
  }
  return { text: new TextDecoder().decode(data.subarray(0, length)), descriptors };
}

function descriptorsIn(control: Uint8Array): readonly number[] {
  if (control.length < CONTROL_HEADER) return [];
  const view = new DataView(control.buffer, control.byteOffset, control.length);
  const count = (Number(view.getBigUint64(0, true)) - CONTROL_HEADER) / 4;
  return Array.from({ length: count }, (_, index) => view.getInt32(CONTROL_HEADER + 4 * index, true));
}

/** Both have to stay referenced, and what they point to, until the call is over. */
function messageOf(
  data: Uint8Array,
  control: Uint8Array,
): { readonly header: Uint8Array; readonly vector: Uint8Array } {
  const vector = new Uint8Array(BigUint64Array.of(addressOf(data), BigInt(data.length)).buffer);
  const header = new Uint8Array(MESSAGE_HEADER);
  const view = new DataView(header.buffer);
  view.setBigUint64(16, addressOf(vector), true);
  view.setBigUint64(24, 1n, true);
  if (control.length > 0) view.setBigUint64(32, addressOf(control), true);
  view.setBigUint64(CONTROL_LENGTH_AT, BigInt(control.length), true);
  return { header, vector };
}

/** CMSG_SPACE: padded to words. */
function space(descriptors: number): number {
  return CONTROL_HEADER + Math.ceil((4 * descriptors) / 8) * 8;
}
