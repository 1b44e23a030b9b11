/** The bench's hand on the wire for what has to be timed, or sent too often to be spelled out; floods are the test sender's. */

import { join } from 'node:path';
import type { Host } from '../test/support/netns.ts';

export interface KnockOrder {
  /** The n-th knock comes from the n-th address counted from here. */
  readonly firstSource: string;
  readonly destination: string;
  readonly ports: readonly number[];
  readonly count: number;
  /** Where the command's byte arrives. */
  readonly fifo: string;
}

/** One SYN to each port from 1 to 65,535, as fast as they go. */
export interface SweepOrder {
  readonly source: string;
  readonly destination: string;
  readonly order: 'ascending' | 'random';
}

/** Only a shell started, so many times: what of a knock's latency is the machine's and no daemon's. */
export interface ShellOrder {
  readonly command: string;
  readonly count: number;
  readonly fifo: string;
}

/** Knocks, each followed by a SYN to `port` twice a millisecond until one is answered. */
export interface EnterOrder {
  readonly firstSource: string;
  readonly destination: string;
  readonly ports: readonly number[];
  readonly count: number;
  readonly port: number;
}

/** What send-knocks.ts reads, a line each. */
export type Order =
  | { readonly knock: KnockOrder }
  | { readonly enter: EnterOrder }
  | { readonly sweep: SweepOrder }
  | { readonly shell: ShellOrder };

export interface Knocker {
  /** Knocks one after another; the milliseconds from each last packet to its command. Throws when a knock opens nothing. */
  knock(order: KnockOrder): Promise<readonly number[]>;
  /** The milliseconds from each knock's last packet to the first SYN-ACK. Throws when none comes. */
  enter(order: EnterOrder): Promise<readonly number[]>;
  /** The milliseconds from starting the shell to the command's byte. */
  shell(order: ShellOrder): Promise<readonly number[]>;
  /** Sweeps all ports once; the milliseconds it took. */
  sweep(order: SweepOrder): Promise<number>;
  stop(): Promise<void>;
}

const KNOCK_PATIENCE = 2_000;

/** Starts a knocker on a host's first interface; it ends with the topology at the latest. */
export function startKnocker(host: Host): Knocker {
  const face = host.interfaces[0]!;
  const program = join(import.meta.dirname, 'send-knocks.ts');
  const running = host.spawn([process.execPath, program, face.name, face.peerMac], { input: { open: true } });
  const give = async (order: Order, patience: number): Promise<unknown> => {
    const from = running.lines.length;
    running.write(`${JSON.stringify(order)}\n`);
    const [line] = await running.waitForLine(/^\{"answer".*/, patience, from);
    return (JSON.parse(line) as { answer: unknown }).answer;
  };
  return {
    knock: async (order) => (await give({ knock: order }, 5_000 + order.count * KNOCK_PATIENCE)) as number[],
    enter: async (order) => (await give({ enter: order }, 5_000 + order.count * KNOCK_PATIENCE)) as number[],
    shell: async (order) => (await give({ shell: order }, 5_000 + order.count * KNOCK_PATIENCE)) as number[],
    sweep: async (order) => (await give({ sweep: order }, 30_000)) as number,
    // It may wait in a read that no command will end.
    stop: async () => void (await running.stop('SIGKILL')),
  };
}
