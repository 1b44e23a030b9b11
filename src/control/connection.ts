/**
 * One client of the control socket: reads a request, answers it, reads the next. A client that does not take its answers gets no further
 * than the first of them, and is dropped when it takes too long; one that follows is dropped when it falls behind.
 * The end of its requests (`shutdown`) is the end of the connection, once they are answered; who has closed it altogether is gone, and what he
 * asked for and is not begun is not done any more: he has been told, or will find, that nobody answered.
 */

import type { Socket } from 'node:net';
import { peerUser } from '../platform/peer.ts';
import { Lines } from './lines.ts';
import { LONGEST_REQUEST, printFailure } from './protocol.ts';

export interface ConnectionPorts {
  /** Answers one line, to be written as it is; never rejects. */
  readonly answer: (line: Uint8Array, connection: Connection) => Promise<string>;
  /** Resolves when it is this client's turn: requests of all clients begin one after another. */
  readonly turn: () => Promise<void>;
  /** Makes room for an answer of so many characters. */
  readonly makeRoom: (length: number, connection: Connection) => void;
  readonly after: (delay: number, call: () => void) => () => void;
  readonly closed: (connection: Connection) => void;
}

/** A client that has not taken its answer after so long is gone. */
const PATIENCE = 30_000;
/** Bytes of events that a client may be behind. */
const MOST_BEHIND = 256 * 1024;

export class Connection {
  readonly #socket: Socket;
  readonly #ports: ConnectionPorts;
  #busy = false;
  #following = false;
  #behind = 0;

  constructor(socket: Socket, ports: ConnectionPorts) {
    this.#socket = socket;
    this.#ports = ports;
    socket.on('error', () => {}); // A client that went away; 'close' follows.
    socket.on('close', () => ports.closed(this));
    this.#serve().catch(() => socket.destroy());
  }

  /** Nothing is under way, nothing is followed: it may be dropped to make room for another. */
  get idle(): boolean {
    return !this.#busy && !this.#following;
  }

  /** Bytes that the client has not taken. */
  get backlog(): number {
    return this.#socket.writableLength;
  }

  /** Who connected, as the kernel knows it. */
  get user(): string | undefined {
    return peerUser(this.#socket);
  }

  get open(): boolean {
    return !this.#socket.destroyed;
  }

  /** From now on the client is told of events. */
  follow(): void {
    this.#following = true;
  }

  tell(line: string): void {
    if (!this.#socket.writable) return;
    this.#behind += line.length;
    if (this.#behind > MOST_BEHIND) return this.drop();
    this.#socket.write(line, () => {
      this.#behind -= line.length;
    });
  }

  drop(): void {
    this.#socket.destroy();
  }

  async #serve(): Promise<void> {
    const lines = new Lines(LONGEST_REQUEST);
    for await (const chunk of this.#socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      for (const line of lines.take(chunk)) {
        if (line === 'too-long') {
          return this.#finish(printFailure(undefined, `The line is longer than ${LONGEST_REQUEST} bytes`));
        }
        await this.#handle(line);
      }
    }
    const rest = lines.rest();
    if (rest) await this.#handle(rest);
    this.#finish();
  }

  async #handle(line: Uint8Array): Promise<void> {
    if (isBlank(line)) return;
    this.#busy = true;
    await this.#ports.turn();
    if (!(await this.#reachable())) return this.drop();
    const text = await this.#ports.answer(line, this);
    if (!this.open) return;
    this.#ports.makeRoom(text.length, this);
    if (!this.#socket.write(text)) await this.#drained();
    this.#busy = false;
  }

  /** Does the other end still stand? Nothing is sent, but the kernel refuses even that (EPIPE) where nobody could read it any more. */
  #reachable(): Promise<boolean> {
    if (!this.open || this.backlog > 0) return Promise.resolve(this.open);
    return new Promise((resolve) => {
      this.#socket.write('', (error) => resolve(!error && this.open));
    });
  }

  /** Until all is taken or the client is gone. */
  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#ports.after(PATIENCE, () => this.drop());
      const end = (): void => {
        cancel();
        this.#socket.off('drain', end);
        this.#socket.off('close', end);
        resolve();
      };
      this.#socket.on('drain', end);
      this.#socket.on('close', end);
    });
  }

  /** Says that nothing more comes, and ends with the client or without it. */
  #finish(text = ''): void {
    const cancel = this.#ports.after(PATIENCE, () => this.drop());
    this.#socket.on('close', cancel);
    this.#socket.end(text, () => this.drop());
  }
}

function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => byte === 0x20 || byte === 0x09);
}
