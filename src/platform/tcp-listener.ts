/**
 * Listening TCP sockets for somebody else to accept from: bound here, handed on as descriptors. Linux only.
 *
 * What a connection may cost is set on the listening socket, and each connection that it takes inherits it (tcp(7), socket(7)): the
 * smallest buffers there are, an end when the other side has not acknowledged for a minute, and no afterlife in the kernel: a close
 * resets, and throws away what was not sent. So nothing of ours is ever left at the port (TIME_WAIT), and it is taken without SO_REUSEADDR: who
 * has it bound is alone there.
 */

import { existsSync } from 'node:fs';
import type { Address } from '../core/address.ts';
import { ipv4 } from '../core/address.ts';
import { accept4, bind, close, listen, SystemError, sendto, setsockopt, socket } from './libc.ts';
import { SENT_WITH } from './seccomp.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_LINGER = 13;
const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/** Connections that wait to be accepted; the kernel leaves further SYNs unanswered. */
const BACKLOG = 16;
const UNACKNOWLEDGED = 60_000;

/** Takes a port on all addresses, of IPv6 as well where the kernel has it. Nobody can connect yet. Throws a `SystemError`. */
export function bindTcp(port: number): readonly number[] {
  const descriptors: number[] = [];
  try {
    for (const domain of existsSync('/proc/net/if_inet6') ? [AF_INET, AF_INET6] : [AF_INET]) {
      const fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      descriptors.push(fd);
      if (domain === AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, words(1));
      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, words(1));
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, words(1));
      setsockopt(fd, SOL_SOCKET, SO_LINGER, words(1, 0));
      setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, words(UNACKNOWLEDGED));
      bind(fd, wildcard(domain, port));
    }
    return descriptors;
  } catch (error) {
    for (const fd of descriptors) close(fd);
    throw error;
  }
}

/** From now on there may be connections. */
export function listenTcp(descriptors: readonly number[]): void {
  for (const fd of descriptors) listen(fd, BACKLOG);
}

/** The next connection that waits, and from where; undefined when there is none. Throws a `SystemError` when there is no room for one. */
export function acceptTcp(listener: number): { readonly descriptor: number; readonly source: Address } | undefined {
  const address = new Uint8Array(28);
  for (;;) {
    try {
      const descriptor = accept4(listener, address, SOCK_NONBLOCK | SOCK_CLOEXEC);
      return { descriptor, source: sourceOf(address) };
    } catch (error) {
      // Gone before it was accepted: accept(2) tells of it, the next one may be there.
      if (error instanceof SystemError && error.code === 'ECONNABORTED') continue;
      if (wouldWait(error)) return undefined;
      throw error;
    }
  }
}

/** Sends what there is room for, and never waits; false when the connection is over. */
export function sendTcp(descriptor: number, bytes: Uint8Array): boolean {
  try {
    sendto(descriptor, bytes, SENT_WITH);
    return true;
  } catch (error) {
    if (error instanceof SystemError) return wouldWait(error);
    throw error;
  }
}

/** Two names of one number. */
function wouldWait(error: unknown): boolean {
  return error instanceof SystemError && (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK');
}

function wildcard(domain: number, port: number): Uint8Array {
  const address = new Uint8Array(domain === AF_INET ? 16 : 28);
  const view = new DataView(address.buffer);
  view.setUint16(0, domain, true);
  view.setUint16(2, port);
  return address;
}

/** The address in a struct sockaddr_in or sockaddr_in6. */
function sourceOf(sockaddr: Uint8Array): Address {
  const view = new DataView(sockaddr.buffer);
  if (view.getUint16(0, true) === AF_INET) return ipv4(view.getInt32(4));
  const [a, b, c, d] = [8, 12, 16, 20].map((at) => view.getInt32(at)) as [number, number, number, number];
  return { a, b, c, d };
}

function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}
