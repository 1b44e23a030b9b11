/** Somebody at the control socket who writes and reads as he likes, like `nc -U`. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export class ControlPeer implements Disposable {
  readonly socket: Socket;
  readonly #lines: string[] = [];
  #rest = '';
  #wake = (): void => {};
  #closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      this.#lines.push(...lines);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  static async connect(path: string): Promise<ControlPeer> {
    const socket = connect({ path, allowHalfOpen: true });
    await once(socket, 'connect');
    return new ControlPeer(socket);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The next line; undefined when the other side has ended. */
  async line(): Promise<string | undefined> {
    while (this.#lines.length === 0 && !this.#closed && !this.socket.readableEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.socket.once('end', resolve);
      });
    }
    return this.#lines.shift();
  }

  async reply(): Promise<Record<string, unknown>> {
    const line = await this.line();
    if (line === undefined) throw new Error('The other side ended');
    return JSON.parse(line) as Record<string, unknown>;
  }

  /** Writes one line and reads one. */
  ask(request: unknown): Promise<Record<string, unknown>> {
    this.socket.write(`${typeof request === 'string' ? request : JSON.stringify(request)}\n`);
    return this.reply();
  }

  async gone(): Promise<void> {
    if (!this.#closed) await once(this.socket, 'close');
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
