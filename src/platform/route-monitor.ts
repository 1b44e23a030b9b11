/**
 * Tells when links or addresses change (rtnetlink(7) multicast groups). The messages are not parsed: whoever listens reads the
 * present state anew, so a lost or merged message costs nothing; but ENOBUFS ends the watch of the event loop, which is begun again.
 */

import { bind, close, type ReadableWatch, recv, SystemError, socket, watchReadable } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const NETLINK_ROUTE = 0;
const RTMGRP_LINK = 0x1;
const RTMGRP_IPV4_IFADDR = 0x10;
const RTMGRP_IPV6_IFADDR = 0x100;

/** Calls `changed` after each burst of changes, once, until closed. */
export function watchRoutes(changed: () => void): ReadableWatch {
  const fd = socket(AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, NETLINK_ROUTE);
  const address = new Uint8Array(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_NETLINK, true);
  view.setUint32(8, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, true);
  bind(fd, address);
  const scratch = new Uint8Array(8192);
  let closed = false;
  const read = (): void => {
    drain(fd, scratch);
    changed();
  };
  const start = (): ReadableWatch =>
    watchReadable(fd, read, () => {
      if (closed) return;
      watch.close();
      // Before what was lost is read anew: a change in between is told, not lost with the rest.
      watch = start();
      read();
    });
  let watch = start();
  return {
    close: () => {
      closed = true;
      watch.close();
      close(fd);
    },
  };
}

function drain(fd: number, scratch: Uint8Array): void {
  for (;;) {
    try {
      recv(fd, scratch, 0);
    } catch (error) {
      if (error instanceof SystemError && error.code === 'ENOBUFS') continue;
      return;
    }
  }
}
