/** A host that listens, connects and talks as a test tells it: one process for all attempts. */

import type { Host } from './netns.ts';
import { startProgram } from './program.ts';

/** What became of an attempt: `refused` is a reset or an ICMP answer, `silent` is none in time. */
export type Outcome = 'connected' | 'refused' | 'silent' | `failed ${string}`;

export interface Target {
  /** Which of the host's addresses; any without. */
  readonly source?: string;
  readonly destination: string;
  readonly port: number;
  /** Milliseconds until no answer is `silent`. */
  readonly wait: number;
}

/** What peer-program.ts reads. */
export type Order =
  | { readonly do: 'listen'; readonly protocol: 'tcp' | 'udp'; readonly port: number }
  | ({ readonly do: 'connect' } & Target)
  | ({ readonly do: 'ask'; readonly sourcePort?: number } & Target)
  | ({ readonly do: 'begin'; readonly session: string } & Target)
  | { readonly do: 'say'; readonly session: string; readonly text: string; readonly wait: number }
  | { readonly do: 'end'; readonly session: string };

/** Without `wait`: three SYNs' time would be 3 s; in a namespace an answer takes a millisecond. */
const WAIT = 300;

type Attempt = Omit<Target, 'wait'> & { readonly wait?: number };

export interface Session {
  /** Says something and waits for the echo: `connected` when it came, `refused` when the session is over. */
  says(text: string, wait?: number): Promise<Outcome>;
  end(): Promise<unknown>;
}

export interface Peer {
  /** Serves an echo on that port, on all addresses. */
  listen(protocol: 'tcp' | 'udp', port: number): Promise<void>;
  /** Tries a TCP connection, and ends it with a reset. */
  connect(attempt: Attempt): Promise<Outcome>;
  /** Sends a datagram and waits for the echo. */
  ask(attempt: Attempt & { readonly sourcePort?: number }): Promise<Outcome>;
  /** A TCP connection that stays. Throws when there is none. */
  begin(attempt: Attempt): Promise<Session>;
}

/** Starts a peer; it ends with the topology. */
export function startPeer(host: Host): Peer {
  const program = startProgram(host, 'peer-program.ts');
  let sessions = 0;
  const give = async (order: Order): Promise<Outcome> => {
    const { outcome } = (await program.ask({ order })) as { outcome: Outcome };
    return outcome;
  };
  return {
    async listen(protocol, port) {
      const outcome = await give({ do: 'listen', protocol, port });
      if (outcome !== 'connected') throw new Error(`Cannot listen on ${protocol}/${port}: ${outcome}`);
    },
    connect: (attempt) => give({ do: 'connect', wait: WAIT, ...attempt }),
    ask: (attempt) => give({ do: 'ask', wait: WAIT, ...attempt }),
    async begin(attempt) {
      sessions += 1;
      const session = `${sessions}`;
      const outcome = await give({ do: 'begin', session, wait: WAIT, ...attempt });
      if (outcome !== 'connected') throw new Error(`No session from ${attempt.source}: ${outcome}`);
      return {
        says: (text, wait = WAIT) => give({ do: 'say', session, text, wait }),
        end: () => give({ do: 'end', session }),
      };
    },
  };
}
