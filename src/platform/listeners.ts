/**
 * TCP ports somebody listens on here: the public ports, whose connections are nobody's stray.
 *
 * Asked of the kernel by sock_diag(7), which looks at listening sockets alone: 0.1 ms. Where it has no such thing, read from
 * /proc/net/tcp and tcp6 (proc(5)), which list listening sockets before all others but cost a walk through the whole table of
 * connections (10 to 30 ms) when there are none.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { close, recv, SystemError, sendto, socket } from './libc.ts';

/** The listening TCP ports of this network namespace, ascending, each once; empty where neither source is there. */
export function listeningPorts(): readonly number[] {
  const ports = process.platform === 'linux' ? (portsFromDiag() ?? portsFromProc()) : [];
  return [...new Set(ports)].sort((x, y) => x - y);
}

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_SOCK_DIAG = 4;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const TCP_LISTEN = 10;

// struct nlmsghdr, struct inet_diag_req_v2 behind it; struct inet_diag_msg in answers
const HEADER = 16;
const REQUEST = 56;
const SOURCE_PORT = HEADER + 4;
const SOCK_DIAG_BY_FAMILY = 20;
const NLM_F_REQUEST_DUMP = 0x301;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

/** From the kernel's socket diagnostics; undefined where it has none. Every port once per socket. */
export function portsFromDiag(): number[] | undefined {
  let fd: number | undefined;
  try {
    fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_SOCK_DIAG);
    const ports: number[] = [];
    for (const family of [AF_INET, AF_INET6]) {
      sendto(fd, diagRequest(family), 0);
      if (!collectPorts(fd, ports)) return undefined;
    }
    return ports;
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  } finally {
    if (fd !== undefined) close(fd);
  }
}

function diagRequest(family: number): Uint8Array {
  const request = new Uint8Array(HEADER + REQUEST);
  const view = new DataView(request.buffer);
  view.setUint32(0, request.length, true);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, true);
  view.setUint16(6, NLM_F_REQUEST_DUMP, true);
  request[HEADER] = family;
  request[HEADER + 1] = IPPROTO_TCP;
  view.setUint32(HEADER + 4, 1 << TCP_LISTEN, true);
  return request;
}

/** Reads one dump to its end; false when the kernel answers with an error. */
function collectPorts(fd: number, ports: number[]): boolean {
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
      if (type === SOCK_DIAG_BY_FAMILY) ports.push(view.getUint16(at + SOURCE_PORT));
      at += (size + 3) & ~3;
    }
  }
}

const LISTEN = '0A';

/** From the process file system; empty where there is none. Every port once per socket. */
export function portsFromProc(): number[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => {
    try {
      return [...readListening(file)];
    } catch {
      // No /proc, or no IPv6: nothing is public by this list, which only makes strays of more packets.
      return [];
    }
  });
}

function* readListening(file: string): Generator<number> {
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
        const match = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line);
        if (!match) continue; // the heading
        if (match[2] !== LISTEN) return;
        yield Number.parseInt(match[1] ?? '', 16);
      }
    }
  } finally {
    closeSync(fd);
  }
}
