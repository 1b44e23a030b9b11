/** The bench's hand on traffic that knocks at nothing, as fast as it goes; send-streams.ts sends it. */

import type { Host } from '../test/support/netns.ts';
import { startProgram } from '../test/support/program.ts';

export const STREAMS = ['UDP, new flows', 'UDP, established', 'TCP, new flows', 'TCP, established'] as const;
export type Stream = (typeof STREAMS)[number];

/** Where the sources of new and of established flows are: routed to the client, and none of its own. */
export const NEW_SOURCES = '10.98.0.0/16';
export const ESTABLISHED_SOURCES = '10.99.0.0/16';
export const NEW_FLOWS = 16_384;
/** Listens. */
export const PUBLIC_PORT = 80;

/** What send-streams.ts reads; `server` is its address. Each is answered by a number. */
export type StreamOrder =
  /** At the server: binds the UDP port, which nobody reads. */
  | { readonly do: 'bind' }
  /** At the server: answers the established UDP flow once. */
  | { readonly do: 'answer' }
  /** Makes the packets of new flows, and begins the established ones. */
  | { readonly do: 'begin'; readonly server: string }
  /** Answers with packets a second. New flows are as many as were made, established ones repeat one packet. */
  | { readonly do: 'send'; readonly stream: Stream; readonly repeated: number };

export interface StreamProgram {
  give(order: StreamOrder): Promise<number>;
  stop(): Promise<void>;
}

/** Starts it on a host's first interface; it ends with the topology at the latest. */
export function startStreams(host: Host): StreamProgram {
  const { name, mac, peerMac } = host.interfaces[0]!;
  const program = startProgram(host, '../../bench/send-streams.ts', name, mac, peerMac);
  return {
    async give(order) {
      const { answer, error } = (await program.ask({ order })) as { answer?: number; error?: string };
      if (answer === undefined) throw new Error(error);
      return answer;
    },
    stop: async () => void (await program.running.stop()),
  };
}
