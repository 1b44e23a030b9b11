/**
 * The other end of the control socket, for our own programs. Whatever goes wrong is a `ControlError` in words for people, with the
 * way out; what the daemon refused is one, too.
 */

import { connect, type Socket } from 'node:net';
import { groupId } from '../platform/accounts.ts';
import type { DoorShown, GrantStatus, SourceStatus, Status } from './controlled.ts';
import { Lines } from './lines.ts';
import { decodeReply, type Reply } from './protocol.ts';
import type { EventType, WireEntry, WireEvent, WireStranger } from './wire-event.ts';

/** Why it could not be done. `no-daemon`: nobody is there; `refused`: the daemon says no. */
export type ControlProblem = 'no-daemon' | 'no-permission' | 'refused' | 'lost';

export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly problem: ControlProblem;
  readonly hint: string | undefined;

  constructor(problem: ControlProblem, message: string, hint?: string) {
    super(message);
    this.problem = problem;
    this.hint = hint;
  }
}

export interface LogRequest {
  readonly door?: string;
  readonly source?: string;
  readonly types?: readonly EventType[];
  /** ISO 8601, or how long ago: `1h`. */
  readonly since?: string;
  readonly limit?: number;
}

export type FollowRequest = Pick<LogRequest, 'door' | 'source' | 'types'>;

/** An infinite time that is left is null on the wire. */
export type WireGrant = Omit<GrantStatus, 'remaining_ms'> & { readonly remaining_ms: number | null };

export type WireSource = Omit<SourceStatus, 'remaining_ms'> & { readonly remaining_ms: number | null };

export type WireStatus = Omit<Status, 'doors' | 'bans' | 'allowed'> & {
  readonly bans: readonly WireSource[];
  readonly allowed: readonly WireSource[];
  readonly doors: readonly (Omit<Status['doors'][number], 'grants'> & { readonly grants: readonly WireGrant[] })[];
};

/** A status of a million grants fits. */
const LONGEST_REPLY = 256 * 1024 * 1024;
const PATIENCE = 10_000;
/** For what may take the firewall's programs as long as they need. */
const LONG_PATIENCE = 60_000;

/** Connects to the daemon at `path`; throws a `ControlError`. `patience` is how long an answer may take, in place of what is usual. */
export function connectControl(path: string, patience?: number): Promise<ControlClient> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const fail = (error: NodeJS.ErrnoException): void => reject(explain(path, error));
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.off('error', fail);
      resolve(new ControlClient(socket, patience));
    });
  });
}

/** One connection. Requests are answered in their order. */
export class ControlClient implements Disposable {
  readonly #socket: Socket;
  readonly #patience: number | undefined;
  readonly #waiting: { readonly answered: (reply: Reply) => void; readonly failed: (error: ControlError) => void }[] =
    [];
  readonly #ended: Promise<void>;
  #heard: ((event: WireEvent) => void) | undefined;
  #lost: ControlError | undefined;

  constructor(socket: Socket, patience?: number) {
    this.#socket = socket;
    this.#patience = patience;
    const lines = new Lines(LONGEST_REPLY);
    socket.on('data', (chunk: Uint8Array) => {
      for (const line of lines.take(chunk)) this.#take(line === 'too-long' ? undefined : decodeReply(line));
    });
    socket.on('error', () => {}); // 'close' follows.
    this.#ended = new Promise((resolve) => {
      socket.on('close', () => {
        this.#lose(
          new ControlError('lost', 'The daemon ended the connection', 'See whether it still runs, and its log'),
        );
        resolve();
      });
    });
  }

  /** Resolves when the connection has ended, for whatever reason. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  status(): Promise<WireStatus> {
    return this.#ask({ do: 'status' }) as Promise<WireStatus>;
  }

  show(door: string): Promise<DoorShown> {
    return this.#ask({ do: 'show', door }) as Promise<DoorShown>;
  }

  /** `duration` as text with its unit; the door's own time without one. */
  open(door: string, source: string, duration?: string): Promise<WireGrant> {
    return this.#ask({ do: 'open', door, source, for: duration }) as Promise<WireGrant>;
  }

  close(door: string, source?: string): Promise<{ readonly closed: number }> {
    return this.#ask({ do: 'close', door, source }, source === undefined ? LONG_PATIENCE : PATIENCE) as Promise<{
      readonly closed: number;
    }>;
  }

  /** `duration` as text with its unit; ten minutes without one. */
  ban(source: string, duration?: string): Promise<WireSource> {
    return this.#ask({ do: 'ban', source, for: duration }) as Promise<WireSource>;
  }

  unban(source: string): Promise<{ readonly ended: boolean }> {
    return this.#ask({ do: 'unban', source }) as Promise<{ readonly ended: boolean }>;
  }

  allow(source: string, duration?: string): Promise<WireSource> {
    return this.#ask({ do: 'allow', source, for: duration }) as Promise<WireSource>;
  }

  disallow(source: string): Promise<{ readonly ended: boolean }> {
    return this.#ask({ do: 'disallow', source }) as Promise<{ readonly ended: boolean }>;
  }

  attackers(limit?: number): Promise<readonly WireStranger[]> {
    return this.#ask({ do: 'attackers', limit }) as Promise<readonly WireStranger[]>;
  }

  log(query: LogRequest): Promise<readonly WireEntry[]> {
    return this.#ask({ do: 'log', ...query }) as Promise<readonly WireEntry[]>;
  }

  reload(): Promise<{ readonly doors: number; readonly warnings: readonly string[] }> {
    return this.#ask({ do: 'reload' }, LONG_PATIENCE) as ReturnType<ControlClient['reload']>;
  }

  /** Calls back for every event from now on; resolves when the daemon has begun to tell. */
  async follow(filter: FollowRequest, heard: (event: WireEvent) => void): Promise<void> {
    this.#heard = heard;
    await this.#ask({ do: 'follow', ...filter });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #ask(request: object, usual = PATIENCE): Promise<unknown> {
    const patience = this.#patience ?? usual;
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost);
      const timer = setTimeout(() => {
        const hint =
          'It is stopped, stuck or very busy: see its process and its log. What it has not begun by now it does not do any more';
        this.#lose(new ControlError('lost', `The daemon has not answered for ${patience / 1000} seconds`, hint));
        this.#socket.destroy();
      }, patience);
      this.#waiting.push({
        answered: (reply) => {
          clearTimeout(timer);
          if ('result' in reply) resolve(reply.result);
          else if ('error' in reply) reject(new ControlError('refused', reply.error));
        },
        failed: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#socket.write(`${JSON.stringify({ v: 1, ...request })}\n`);
    });
  }

  #take(reply: Reply | undefined): void {
    if (!reply) {
      const hint = 'Daemon and command have to be of the same version';
      this.#lose(new ControlError('lost', 'What answers at the socket speaks something else', hint));
      this.#socket.destroy();
    } else if ('event' in reply) this.#heard?.(reply.event);
    else if (this.#waiting.length > 0) this.#waiting.shift()?.answered(reply);
    else if ('error' in reply) this.#lose(new ControlError('refused', reply.error)); // It turned us away.
  }

  #lose(error: ControlError): void {
    this.#lost ??= error;
    for (const { failed } of this.#waiting.splice(0)) failed(this.#lost);
  }
}

function explain(path: string, error: NodeJS.ErrnoException): ControlError {
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new ControlError(
        'no-daemon',
        `No daemon at ${path}`,
        'Start posternd (--config FILE), or name the configuration of the one that runs: postern --config FILE ... (knockd has no socket: it tells its log)',
      );
    case 'ECONNREFUSED':
      return new ControlError('no-daemon', `The daemon at ${path} does not run any more`, 'Start posternd');
    case 'EACCES':
    case 'EPERM':
      return new ControlError(
        'no-permission',
        `No permission to use ${path}`,
        groupId('postern') === undefined
          ? 'Become root, or make the group and join it: groupadd --system postern && usermod -aG postern USER, then start posternd anew and log in again'
          : 'Become root, or join the group: usermod -aG postern USER, then log in again',
      );
    case 'EAGAIN':
      return new ControlError('lost', `The daemon at ${path} is too busy to answer`, 'Try again');
    default:
      return new ControlError('lost', `Cannot reach the daemon at ${path}: ${error.message}`);
  }
}
