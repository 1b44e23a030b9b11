/**
 * Runs the commands a configuration names. Those of one lane (one door, one source) run one after another, in order; lanes do
 * not wait for each other. How many of one door run and how many wait is bounded, so that no stranger can fill the process table, and
 * by door, so that the slow commands of one keep no other from opening. What closes a door waits for its own lane alone.
 *
 * A command that takes longer than it is expected to is reported once and left alone: it is the administrator's.
 */

import type { Ending, RunningProgram } from '../platform/process.ts';

export interface Command {
  /** What runs in order: a door and a source. */
  readonly lane: string;
  /** Whose share of the running and the waiting it takes. */
  readonly door: string;
  /** It closes what is open: always taken, and started as soon as its lane is free. */
  readonly closes?: boolean;
  /** The shell line. */
  readonly line: string;
  /** Milliseconds after which the command is reported as slow. */
  readonly expected: number;
  /** Called right before the command starts. */
  readonly starting: () => void;
  /** Called right after it has started, with its process id. */
  readonly started?: (pid: number) => void;
  readonly ended: (ending: Ending) => void;
  /** Called while the command still runs and `expected` is over. */
  readonly slow: () => void;
}

export interface CommandPorts {
  readonly run: (line: string) => RunningProgram;
  readonly after: (delay: number, call: () => void) => () => void;
  /** Called when the last command has ended and none waits. */
  readonly idle?: () => void;
}

/** Of one door. */
const MOST_RUNNING = 64;
const MOST_WAITING = 1024;
/** Waiting in one lane: the one that comes next, and one more for a knock that came meanwhile. */
const MOST_PER_LANE = 2;

/** What a door has under way, closing commands left out. */
interface Share {
  running: number;
  waiting: number;
  /** Lanes whose next command waits for the door alone. */
  readonly ready: string[];
}

export class Commands {
  readonly #ports: CommandPorts;
  /** Commands that wait, by lane; a lane without an entry has nothing that runs. */
  readonly #lanes = new Map<string, Command[]>();
  readonly #shares = new Map<string, Share>();
  #outstanding = 0;

  constructor(ports: CommandPorts) {
    this.#ports = ports;
  }

  /** Commands that run or wait to. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** Takes a command; false when too many wait already and it will never run. */
  submit(command: Command): boolean {
    const lane = this.#lanes.get(command.lane);
    const share = this.#shareOf(command.door);
    if (!command.closes) {
      if (share.waiting >= MOST_WAITING || (lane?.length ?? 0) >= MOST_PER_LANE) return false;
      share.waiting++;
    }
    this.#outstanding++;
    if (lane) lane.push(command);
    else {
      this.#lanes.set(command.lane, [command]);
      this.#advance(command.lane);
    }
    return true;
  }

  #shareOf(door: string): Share {
    const share = this.#shares.get(door) ?? { running: 0, waiting: 0, ready: [] };
    this.#shares.set(door, share);
    return share;
  }

  /** Nothing of the lane runs: its next command may start, or gets in line. */
  #advance(lane: string): void {
    const [next] = this.#lanes.get(lane) ?? [];
    if (!next) this.#lanes.delete(lane);
    else if (next.closes) this.#start(lane);
    else {
      this.#shareOf(next.door).ready.push(lane);
      this.#fill(next.door);
    }
  }

  #fill(door: string): void {
    const share = this.#shareOf(door);
    while (share.running < MOST_RUNNING) {
      const lane = share.ready.shift();
      if (lane === undefined) break;
      share.running++;
      share.waiting--;
      this.#start(lane);
    }
    if (share.running + share.waiting === 0) this.#shares.delete(door);
  }

  #start(lane: string): void {
    const command = this.#lanes.get(lane)?.shift();
    if (!command) return;
    command.starting();
    const program = this.#ports.run(command.line);
    if (program.pid !== undefined) command.started?.(program.pid);
    const cancel = this.#ports.after(command.expected, command.slow);
    void program.ended.then((ending) => {
      cancel();
      this.#outstanding--;
      if (!command.closes) this.#shareOf(command.door).running--;
      command.ended(ending);
      this.#advance(lane);
      this.#fill(command.door);
      if (this.#outstanding === 0) this.#ports.idle?.();
    });
  }
}
