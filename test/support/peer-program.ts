/**
 * Run inside a namespace: a host that listens, connects and talks as it is told, without a program start for each attempt. Each
 * line of standard input is an order with an id, answered by one line with that id, whenever it is done; peer.ts speaks it.
 */

import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Order, Outcome } from './peer.ts';

const sessions = new Map<string, { readonly socket: Socket; heard: string; over: boolean }>();

function outcomeOf(code: string | undefined): Outcome {
  if (code === 'ETIMEDOUT') return 'silent';
  if (code === 'ECONNREFUSED' || code === 'ECONNRESET') return 'refused';
  return `failed ${code}`;
}

function dial(order: { source?: string; destination: string; port: number; wait: number }): Promise<[Outcome, Socket]> {
  const { source, destination, port, wait } = order;
  return new Promise((resolve) => {
    const socket = connect({ host: destination, port, ...(source === undefined ? {} : { localAddress: source }) });
    const timer = setTimeout(() => {
      socket.destroy();
      resolve(['silent', socket]);
    }, wait);
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      resolve([outcome, socket]);
    };
    socket.once('connect', () => end('connected'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(outcomeOf(error.code)));
  });
}

function listen(protocol: 'tcp' | 'udp', port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    if (protocol === 'udp') {
      const socket = createSocket('udp6');
      socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
      socket.once('error', reject);
      socket.bind(port, '::', () => resolve());
      return;
    }
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.once('error', reject);
    server.listen(port, '::', 1024, () => resolve());
  });
}

function ask(order: { source?: string; sourcePort?: number; destination: string; port: number; wait: number }) {
  return new Promise<Outcome>((resolve) => {
    const socket = createSocket(order.destination.includes(':') ? 'udp6' : 'udp4');
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.close();
      resolve(outcome);
    };
    const timer = setTimeout(() => end('silent'), order.wait);
    socket.on('message', () => end('connected'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(outcomeOf(error.code)));
    socket.bind(order.sourcePort ?? 0, order.source, () => {
      socket.connect(order.port, order.destination, () => socket.send('hello'));
    });
  });
}

function heard(id: string, text: string, wait: number): Promise<Outcome> {
  const session = sessions.get(id);
  if (session === undefined) return Promise.resolve('failed no session');
  return new Promise((resolve) => {
    const { socket } = session;
    const timer = setTimeout(() => end(session.over ? 'refused' : 'silent'), wait);
    const end = (outcome: Outcome): void => {
      clearTimeout(timer);
      socket.off('data', look);
      socket.off('close', look);
      resolve(outcome);
    };
    const look = (): void => {
      if (session.heard.includes(text)) end('connected');
      else if (session.over) end('refused');
    };
    socket.on('data', look);
    socket.on('close', look);
    if (text !== '' && !session.over) socket.write(text);
    if (session.over) look();
  });
}

async function obey(order: Order): Promise<Outcome> {
  switch (order.do) {
    case 'listen':
      await listen(order.protocol, order.port);
      return 'connected';
    case 'connect': {
      const [outcome, socket] = await dial(order);
      socket.resetAndDestroy();
      return outcome;
    }
    case 'ask':
      return ask(order);
    case 'begin': {
      const [outcome, socket] = await dial(order);
      const session = { socket, heard: '', over: false };
      socket.on('data', (bytes: Buffer) => {
        session.heard += bytes.toString('latin1');
      });
      socket.on('close', () => {
        session.over = true;
      });
      sessions.set(order.session, session);
      return outcome;
    }
    case 'say':
      return heard(order.session, order.text, order.wait);
    case 'end':
      sessions.get(order.session)?.socket.resetAndDestroy();
      return 'connected';
  }
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { id, order } = JSON.parse(line) as { id: number; order: Order };
  obey(order)
    .catch((error: Error): Outcome => `failed ${error.message}`)
    .then((outcome) => process.stdout.write(`${JSON.stringify({ id, outcome })}\n`));
});
lines.on('close', () => process.exit(0));
