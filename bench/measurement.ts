/** A measurement: one file each, listed in run.ts, with what it is given to work with. */

import type { Host } from '../test/support/netns.ts';
import type { Contestant, Daemon, DoorSettings } from './daemon.ts';
import type { Figure } from './figure.ts';

export interface Measurement {
  /** As `--only` takes it. */
  readonly name: string;
  readonly title: string;
  readonly run: (bench: Bench) => Promise<readonly Figure[]>;
}

export interface Bench {
  readonly server: Host;
  readonly client: Host;
  /** For files of the measurement's own. */
  readonly folder: string;
  /** Fewer rounds, shorter floods. */
  readonly quick: boolean;
  /** Full sweeps of each order, when told on the command line. */
  readonly sweeps: number | undefined;
  /** The path of our posternd, whose package also has `postern`. */
  readonly posternd: string;
  /** Starts one of the two daemons; stop it before the next one starts. */
  readonly start: (contestant: Contestant, door: DoorSettings) => Promise<Daemon>;
  /** One line of progress. */
  readonly tell: (text: string) => void;
}

/** The order in which the two take turns. */
export const CONTESTANTS: readonly Contestant[] = ['ours', 'knockd'];

/** Runs `use` with a daemon that is stopped afterwards. */
export async function withDaemon<T>(
  bench: Bench,
  contestant: Contestant,
  door: DoorSettings,
  use: (daemon: Daemon) => Promise<T>,
): Promise<T> {
  const daemon = await bench.start(contestant, door);
  try {
    return await use(daemon);
  } finally {
    await daemon.stop();
  }
}
