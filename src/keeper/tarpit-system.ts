/** What the tarpit needs of the system: a port, and a process that is started with the listening sockets and nothing else. */

import type { PitLimits } from '../core/pit.ts';
import { tarpitAccount } from '../platform/accounts.ts';
import { entry } from '../platform/entry.ts';
import { close } from '../platform/libc.ts';
import { type ConnectedProgram, startConnected } from '../platform/process.ts';
import { bindTcp, listenTcp } from '../platform/tcp-listener.ts';
import type { Complaints } from './complaints.ts';

export interface TarpitSystem {
  readonly bind: (port: number) => readonly number[];
  readonly listen: (descriptors: readonly number[]) => void;
  readonly close: (descriptor: number) => void;
  readonly start: (descriptors: readonly number[], limits: PitLimits, complaints: Complaints) => ConnectedProgram;
}

/** Descriptors 0 to 2 are the usual, 3 is the channel. */
const FIRST_DESCRIPTOR = 4;

export const TARPIT_SYSTEM: TarpitSystem = {
  bind: bindTcp,
  listen: listenTcp,
  close,
  start: (descriptors, limits, complaints) => {
    const { uid, gid } = tarpitAccount();
    const program = startConnected(
      [
        process.execPath,
        '--disable-sigusr1',
        entry('tarpit/confine').script,
        String(process.pid),
        `${uid}:${gid}`,
        JSON.stringify(limits),
        ...descriptors.map((_, index) => String(FIRST_DESCRIPTOR + index)),
      ],
      { descriptors, argv0: 'postern-tarpit', uid },
    );
    complaints.read(program.complaints);
    return program;
  },
};
