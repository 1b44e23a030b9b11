/** What the tarpit needs of the system: a port, and a process that is started with the listening sockets and nothing else. */

import type { PitLimits } from '../core/pit.ts';
import { tarpitAccount } from '../platform/accounts.ts';
import { close } from '../platform/libc.ts';
import type { ConnectedProgram } from '../platform/process.ts';
import { bindTcp, listenTcp } from '../platform/tcp-listener.ts';
import { FIRST_DESCRIPTOR, type StartCaged } from './caged-start.ts';
import type { Complaints } from './complaints.ts';

export interface TarpitSystem {
  readonly bind: (port: number) => readonly number[];
  readonly listen: (descriptors: readonly number[]) => void;
  readonly close: (descriptor: number) => void;
  readonly start: (descriptors: readonly number[], limits: PitLimits, complaints: Complaints) => ConnectedProgram;
}

/** The real one, by whom programs are started. */
export function tarpitSystem(startCaged: StartCaged): TarpitSystem {
  return {
    bind: bindTcp,
    listen: listenTcp,
    close,
    start: (descriptors, limits, complaints) => {
      const args = [JSON.stringify(limits), ...descriptors.map((_, index) => String(FIRST_DESCRIPTOR + index))];
      const program = startCaged('tarpit', { account: tarpitAccount(), args, descriptors });
      complaints.read(program.complaints);
      return program;
    },
  };
}
