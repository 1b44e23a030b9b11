/**
 * Packets from ordinary sockets, without privilege, on every system that runs Node.
 *
 * A TCP hit is a non-blocking connect whose socket is closed as soon as the call has returned: the SYN has left then (also one that still waits for
 * ARP or neighbour discovery, which the kernel keeps), and with no socket behind it nothing is sent again when it is dropped. So a hit is one SYN.
 * A UDP hit is one datagram with a single zero byte, as knock's; its socket is closed when the system has taken it. Every hit has a socket of its
 * own, hence a new source port, and settles before the next begins: that keeps the order.
 */

import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { KnockNetwork } from './knock.ts';
import type { Route } from './source.ts';

/**
 * Milliseconds a TCP socket stays open after its connect call. Windows connects asynchronously (ConnectEx), and closing at once may call the SYN
 * back; it repeats a refused SYN after 500 ms, a lost one later still, so this stays well below.
 */
const HOLD = process.platform === 'win32' ? 25 : 0;

const PAYLOAD = Uint8Array.of(0);

/** A network of this machine's sockets. */
export function openSockets(hold: number = HOLD): KnockNetwork {
  return {
    hit: (step, route) => (step.protocol === 'tcp' ? hitTcp(step.port, route, hold) : hitUdp(step.port, route)),
  };
}

function hitTcp(port: number, route: Route, hold: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const { address: host, family } = route.to;
    const socket = connect({ host, port, family, ...(route.from === undefined ? {} : { localAddress: route.from }) });
    let failure: Error | undefined;
    socket.on('error', (error) => {
      if (!isAnswer(error)) failure = error;
    });
    socket.on('close', () => {
      if (failure) reject(failure);
      else resolve();
    });
    // Emitted right before the system call, so on the next tick the call has been made.
    socket.on('connectionAttempt', () => {
      if (hold > 0) setTimeout(() => socket.destroy(), hold);
      else process.nextTick(() => socket.destroy());
    });
  });
}

/** A refusal or a reset is the far end's answer: the packet has arrived. */
function isAnswer(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET';
}

function hitUdp(port: number, route: Route): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(route.to.family === 4 ? 'udp4' : 'udp6');
    let settled = false;
    const settle = (error: Error | null): void => {
      if (settled) return;
      settled = true;
      socket.close(() => {
        if (error) reject(error);
        else resolve();
      });
    };
    socket.on('error', settle);
    const send = (): void => socket.send(PAYLOAD, port, route.to.address, settle);
    if (route.from === undefined) send();
    else socket.bind({ address: route.from, port: 0, exclusive: true }, send);
  });
}
