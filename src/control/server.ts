/**
 * The control socket: whoever may open it can ask the daemon and tell it what to do. Those people are trusted with the doors, not with
 * the process: however many connect, whatever they send and however slowly they read, it neither fails, grows nor stops.
 *
 * - Connections are bounded. A new one pushes out the one that has been idle for longest.
 * - Requests begin one at a time, a turn of the event loop each, so that packets and timers are never behind a queue of questions;
 *   long answers rest after each other (`pace.ts`).
 * - What clients have not taken is bounded for each and for all together; who has most is dropped first.
 */

import { createServer, type Socket } from 'node:net';
import { setImmediate as nextRound } from 'node:timers/promises';
import { Connection } from './connection.ts';
import { type Controlled, Refusal } from './controlled.ts';
import { Followers } from './followers.ts';
import { Pace } from './pace.ts';
import { printAnswer, printFailure } from './protocol.ts';
import { decodeRequest, REQUESTS, type Request } from './request.ts';
import { listenAt } from './socket-file.ts';
import { type Filter, wireEntry, wireStranger } from './wire-event.ts';

export interface ControlPorts {
  readonly wallNow: () => number;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
  /** A request failed for a reason that is ours. */
  readonly failed: (error: unknown) => void;
}

export interface ControlServer {
  /** For the administrator: what about the socket is not as it should be. */
  readonly warnings: readonly string[];
  /** Ends all connections and removes the socket. */
  close(): Promise<void>;
}

export const MOST_CONNECTIONS = 64;
export const MOST_FOLLOWERS = 48;
/** Characters of answers that all clients together may leave untaken. */
const MOST_UNTAKEN = 16 * 1024 * 1024;

const MAY_BE_LONG: ReadonlySet<Request['do']> = new Set(['status', 'log', 'attackers']);

/** Whose members may talk to the daemon. */
export const CONTROL_GROUP = 'postern';

/** Serves at `path`, to root and to members of `group`. Throws a `SocketError` when the socket cannot be had. */
export async function serveControl(
  path: string,
  controlled: Controlled,
  ports: ControlPorts,
  group = CONTROL_GROUP,
): Promise<ControlServer> {
  const connections = new Set<Connection>();
  const followers = new Followers((heard) => controlled.follow(heard), ports.monotonicNow);
  const ends = new Map<Connection, () => void>();
  const pace = new Pace(ports);
  let turn: Promise<unknown> = Promise.resolve();

  const withNames = <T extends Filter>(filter: T): T =>
    filter.sources ? { ...filter, sources: filter.sources.flatMap((source) => controlled.namesOf(source)) } : filter;

  const follow = (connection: Connection, request: Request & { do: 'follow' }): void => {
    if (ends.has(connection)) throw new Refusal('This connection follows already: make another');
    if (followers.count >= MOST_FOLLOWERS) throw new Refusal(`Too many are following: ${MOST_FOLLOWERS} at most`);
    const follower = { filter: withNames(request.filter), hear: (line: string) => connection.tell(line) };
    followers.add(follower);
    connection.follow();
    ends.set(connection, () => {
      ends.delete(connection);
      followers.remove(follower);
    });
  };

  const perform = async (request: Request, connection: Connection): Promise<unknown> => {
    switch (request.do) {
      case 'help':
        return REQUESTS;
      case 'status':
        return controlled.status();
      case 'show':
        return controlled.show(request.door);
      case 'open':
        return controlled.open(request.door, request.source, request.duration, connection.user);
      case 'close':
        return { closed: await controlled.close(request.door, request.source, connection.user) };
      case 'ban':
        return controlled.ban(request.source, request.duration, connection.user);
      case 'unban':
        return { ended: await controlled.unban(request.source, connection.user) };
      case 'allow':
        return controlled.allow(request.source, request.duration, connection.user);
      case 'disallow':
        return { ended: await controlled.disallow(request.source, connection.user) };
      case 'attackers':
        return (await controlled.attackers(request.limit)).map(wireStranger);
      case 'log':
        return (await controlled.log(withNames(request.query))).map(wireEntry);
      case 'reload':
        return controlled.reload();
      case 'follow':
        return follow(connection, request);
    }
  };

  const answer = async (line: Uint8Array, connection: Connection): Promise<string> => {
    if (connections.delete(connection)) connections.add(connection); // The last of the idle ones from now on.
    const decoded = decodeRequest(line, ports.wallNow());
    if ('error' in decoded) return printFailure(decoded.id, decoded.error);
    const make = async () => printAnswer(decoded.id, await perform(decoded.request, connection));
    try {
      return await (MAY_BE_LONG.has(decoded.request.do) ? pace.run(make) : make());
    } catch (error) {
      if (error instanceof Refusal) return printFailure(decoded.id, error.message);
      ports.failed(error);
      return printFailure(decoded.id, 'The daemon failed at this: its log says why');
    }
  };

  const makeRoom = (length: number, asking: Connection): void => {
    let untaken = length;
    for (const { backlog } of connections) untaken += backlog;
    const others = [...connections].filter((connection) => connection !== asking);
    others.sort((x, y) => y.backlog - x.backlog);
    for (const connection of others) {
      if (untaken <= MOST_UNTAKEN) return;
      untaken -= connection.backlog;
      connection.drop();
    }
  };

  const accept = (socket: Socket): void => {
    if (connections.size >= MOST_CONNECTIONS) {
      const idle = [...connections].find((other) => other.idle);
      if (!idle) return turnAway(socket);
      connections.delete(idle);
      idle.drop();
    }
    const connection = new Connection(socket, {
      answer,
      turn: () => {
        turn = turn.then(() => nextRound());
        return turn as Promise<void>;
      },
      makeRoom,
      after: ports.after,
      closed: () => {
        connections.delete(connection);
        ends.get(connection)?.();
      },
    });
    connections.add(connection);
  };

  const server = createServer({ allowHalfOpen: true }, accept);
  const warnings = await listenAt(server, path, group);
  server.on('error', ports.failed);
  return {
    warnings,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const connection of connections) connection.drop();
      }),
  };
}

function turnAway(socket: Socket): void {
  socket.on('error', () => {});
  socket.end(printFailure(undefined, `Too many connections: ${MOST_CONNECTIONS} at most`), () => socket.destroy());
}
