/**
 * Runs the commands a configuration names. Those of one lane (one door, one source) run one after another, in order; lanes do
 * not wait for each other. How many run and how many wait is bounded, so that no stranger can fill the process table.
 *
 * A command that takes longer than it is expected to is reported once and left alone: it is the administrator's.
 */

import type { Ending, RunningProgram } from '../platform/process.ts';

export interface Command {
  /** What runs in order: a door and a source. */
  readonly lane: string;
  readonly door: string;
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

const MOST_RUNNING = 64;
const MOST_WAITING = 1024;
/** Waiting in one lane: the one that comes next, and one more for a knock that came meanwhile. */
const MOST_PER_LANE = 2;

export class Commands {
  readonly #ports: CommandPorts;
  readonly #lanes = new Map<string, Command[]>();
  readonly #ready: string[] = [];
  #running = 0;
  #waiting = 0;

  constructor(ports: CommandPorts) {
    this.#ports = ports;
  }

  /** Commands that run or wait to. */
  get outstanding(): number {
    return this.#running + this.#waiting;
  }

  /** Takes a command; false when too many wait already and it will never run. `must` is for commands that close what is open. */
  submit(command: Command, must = false): boolean {
    const lane = this.#lanes.get(command.lane);
    if (!must && (this.#waiting >= MOST_WAITING || (lane?.length ?? 0) >= MOST_PER_LANE)) return false;
    this.#waiting++;
    if (lane) lane.push(command);
    else {
      this.#lanes.set(command.lane, [command]);
      this.#ready.push(command.lane);
    }
    this.#next();
    return true;
  }

  #next(): void {
    while (this.#running < MOST_RUNNING) {
      const name = this.#ready.shift();
      if (name === undefined) return;
      const command = this.#lanes.get(name)?.shift();
      if (command) this.#start(name, command);
    }
  }

  #start(lane: string, command: Command): void {
    this.#waiting--;
    this.#running++;
    command.starting();
    const program = this.#ports.run(command.line);
    if (program.pid !== undefined) command.started?.(program.pid);
    const cancel = this.#ports.after(command.expected, command.slow);
    void program.ended.then((ending) => {
      cancel();
      this.#running--;
      if (this.#lanes.get(lane)?.length) this.#ready.push(lane);
      else this.#lanes.delete(lane);
      command.ended(ending);
      this.#next();
      if (this.outstanding === 0) this.#ports.idle?.();
    });
  }
}
