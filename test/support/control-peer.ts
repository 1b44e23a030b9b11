/** Somebody at the control socket who writes and reads as he likes, like `nc -U`. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export class ControlPeer implements Disposable {
  readonly socket: Socket;
  readonly #lines: string[] = [];
  #rest = '';
  readonly #waiting: ((line: string | undefined) => void)[] = [];
  #over = false;
  #closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      this.#lines.push(...lines);
      this.#deal();
    });
    socket.on('error', () => {});
    socket.on('end', () => this.#end());
    socket.on('close', () => {
      this.#closed = true;
      this.#end();
    });
  }

  static async connect(path: string): Promise<ControlPeer> {
    const socket = connect({ path, allowHalfOpen: true });
    await once(socket, 'connect');
    return new ControlPeer(socket);
  }

  get over(): boolean {
    return this.#over;
  }

  /** The next line; undefined when the other side has ended. */
  line(): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#deal();
    });
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

  /** Until the other side has ended. */
  async gone(): Promise<void> {
    while ((await this.line()) !== undefined);
    this.socket.end();
    if (!this.#closed) await once(this.socket, 'close');
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #end(): void {
    this.#over = true;
    this.#deal();
  }

  #deal(): void {
    while (this.#waiting.length > 0 && (this.#lines.length > 0 || this.#over))
      this.#waiting.shift()?.(this.#lines.shift());
  }
}
