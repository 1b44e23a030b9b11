/**
 * Who listens on ports here, and which of those of TCP are public: connections to them are nobody's stray.
 *
 * Public is what a client may honestly reach and what no plain user can make so: a listener at an address that is watched, or at
 * all of them, at a port below 1024 or of a system account. With listeners between a door's steps a user could otherwise have a
 * port scan open the door.
 *
 * Asked of the kernel by sock_diag(7), which looks at listening sockets alone: 0.1 ms. Where it has no such thing, read from
 * /proc/net/tcp and tcp6 (proc(5)), which list listening sockets before all others but cost a walk through the whole table of
 * connections (10 to 30 ms) when there are none.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { type Address, ipv4 } from '../core/address.ts';
import { AddressSet } from '../core/address-set.ts';
import { close, recv, SystemError, sendto, socket } from './libc.ts';

/** A listening socket: where, and whose. */
export interface Listener {
  readonly address: Address;
  readonly port: number;
  readonly uid: number;
  /** Of the socket, by which processes hold it. */
  readonly inode?: number;
}

export type ListenerProtocol = 'tcp' | 'udp';

/** The TCP ports of this network namespace that anybody listens on, ascending, each once; empty where neither source is there. */
export function listeningPorts(): readonly number[] {
  return ascending(listeners());
}

/** What hears a packet that comes by itself: TCP listeners, and UDP sockets that are not tied to one peer. Each port once, ascending. */
export function portsInUse(): readonly { readonly protocol: ListenerProtocol; readonly port: number }[] {
  if (process.platform !== 'linux') return [];
  const udp = listenersFromDiag('udp') ?? listenersFromProc('udp');
  return [
    ...listeningPorts().map((port) => ({ protocol: 'tcp', port }) as const),
    ...ascending(udp).map((port) => ({ protocol: 'udp', port }) as const),
  ];
}

/** The public ones among them, for a host that is reached at these addresses. */
export function publicPorts(addresses: readonly Address[]): readonly number[] {
  return ascending(publicListeners(listeners(), addresses));
}

/** Those that make their port public. */
export function publicListeners(all: readonly Listener[], addresses: readonly Address[]): readonly Listener[] {
  const watched = new AddressSet([...addresses, ...WILDCARDS]);
  return all.filter(
    ({ address, port, uid }) => (port <= LAST_PRIVILEGED || uid <= LAST_SYSTEM_UID) && watched.has(address),
  );
}

const WILDCARDS: readonly Address[] = [ipv4(0), { a: 0, b: 0, c: 0, d: 0 }];
/** ip(7), ip_unprivileged_port_start. */
const LAST_PRIVILEGED = 1023;
/** login.defs(5), UID_MIN: accounts of people begin behind it. */
const LAST_SYSTEM_UID = 999;

function listeners(): readonly Listener[] {
  return process.platform === 'linux' ? (listenersFromDiag() ?? listenersFromProc()) : [];
}

function ascending(all: readonly Listener[]): readonly number[] {
  return [...new Set(all.map(({ port }) => port))].sort((x, y) => x - y);
}

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO: Readonly<Record<ListenerProtocol, number>> = { tcp: 6, udp: 17 };
/** TCP_LISTEN; of UDP, TCP_CLOSE: bound, and without a peer. */
const STATE: Readonly<Record<ListenerProtocol, number>> = { tcp: 10, udp: 7 };

// struct nlmsghdr, struct inet_diag_req_v2 behind it; struct inet_diag_msg in answers
const HEADER = 16;
const REQUEST = 56;
const SOURCE_PORT = HEADER + 4;
const SOURCE_ADDRESS = HEADER + 8;
const UID = HEADER + 64;
const INODE = HEADER + 68;
/** The message ends with the inode, behind the uid; attributes may follow. */
const ANSWER = HEADER + 72;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST_DUMP = 0x301;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

/** From the kernel's socket diagnostics; undefined where it has none. */
export function listenersFromDiag(protocol: ListenerProtocol = 'tcp'): readonly Listener[] | undefined {
  let fd: number | undefined;
  try {
    fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_SOCK_DIAG);
    const found: Listener[] = [];
    for (const family of [AF_INET, AF_INET6]) {
      sendto(fd, diagRequest(family, protocol), 0);
      if (!collect(fd, found)) return undefined;
    }
    return found;
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  } finally {
    if (fd !== undefined) close(fd);
  }
}

function diagRequest(family: number, protocol: ListenerProtocol): Uint8Array {
  const request = new Uint8Array(HEADER + REQUEST);
  const view = new DataView(request.buffer);
  view.setUint32(0, request.length, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST_DUMP, true);
  request[HEADER] = family;
  request[HEADER + 1] = IPPROTO[protocol];
  view.setUint32(HEADER + 4, 1 << STATE[protocol], true);
  return request;
}

/** Reads one dump to its end; false when the kernel answers with an error. */
function collect(fd: number, found: Listener[]): boolean {
  const chunk = new Uint8Array(32_768);
  const view = new DataView(chunk.buffer);
  for (;;) {
    const length = recv(fd, chunk, 0);
    if (length === 0) return false;
    for (let at = 0; at + HEADER <= length; ) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      // A dump that failed ends with a negative errno in place of the count.
      if (type === NLMSG_DONE) return size < HEADER + 4 || view.getInt32(at + HEADER, true) >= 0;
      if (type === NLMSG_ERROR || size < HEADER) return false;
      if (type === SOCK_DIAG_BY_FAMILY && size >= ANSWER) found.push(readAnswer(view, at));
      at += (size + 3) & ~3;
    }
  }
}

function readAnswer(view: DataView, at: number): Listener {
  const word = (index: number): number => view.getInt32(at + SOURCE_ADDRESS + 4 * index);
  return {
    address:
      view.getUint8(at + HEADER) === AF_INET ? ipv4(word(0)) : { a: word(0), b: word(1), c: word(2), d: word(3) },
    port: view.getUint16(at + SOURCE_PORT),
    uid: view.getUint32(at + UID, true),
    inode: view.getUint32(at + INODE, true),
  };
}

const LINE = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) \S+ \S+ \S+ +(\d+) +\d+ (\d+) /;

/** From the process file system; empty where there is none. */
export function listenersFromProc(protocol: ListenerProtocol = 'tcp'): readonly Listener[] {
  return [`/proc/net/${protocol}`, `/proc/net/${protocol}6`].flatMap((file) => {
    try {
      return [...readListening(file, protocol)];
    } catch {
      // No /proc, or no IPv6: nothing is public by this list, which only makes strays of more packets.
      return [];
    }
  });
}

function* readListening(file: string, protocol: ListenerProtocol): Generator<Listener> {
  const fd = openSync(file, 'r');
  try {
    const chunk = new Uint8Array(16384);
    const decoder = new TextDecoder('latin1');
    let rest = '';
    for (;;) {
      const length = readSync(fd, chunk, 0, chunk.length, null);
      if (length === 0) return;
      const lines = (rest + decoder.decode(chunk.subarray(0, length))).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [, address = '', port = '', state, uid, inode] = LINE.exec(line) ?? [];
        if (state === undefined) continue; // the heading
        if (Number.parseInt(state, 16) !== STATE[protocol]) {
          if (protocol === 'tcp') return; // Listening sockets come first.
          continue;
        }
        yield { address: readWords(address), port: Number.parseInt(port, 16), uid: Number(uid), inode: Number(inode) };
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Words of 8 digits, each in the machine's byte order; all machines this runs on are little-endian. */
function readWords(text: string): Address {
  const view = new DataView(new ArrayBuffer(16));
  for (let at = 0; at < text.length / 8; at++) {
    view.setUint32(at * 4, Number.parseInt(text.slice(at * 8, at * 8 + 8), 16), true);
  }
  const [a, b, c, d] = [0, 4, 8, 12].map((at) => view.getInt32(at)) as [number, number, number, number];
  return text.length === 8 ? ipv4(a) : { a, b, c, d };
}
