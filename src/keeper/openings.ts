/**
 * What happens when a door opens: its start command now, its stop command later; a knock during the grant renews it.
 *
 * - The stop is on disk before the start command runs, and counts from the end of that command, as in knockd.
 * - A repeated knock moves the stop and runs nothing, so rules do not stack and no early stop is left behind. After a start
 *   command that failed or was not let run, a repeated knock tries it again; after a reload that changed the stop command, it is a new grant.
 * - While the start command runs the stop waits, also when the process that started it is gone.
 * - A door without a stop command has no grant: each knock runs its command.
 */

import { type Address, parseAddress, printAddress } from '../core/address.ts';
import type { Ending } from '../platform/process.ts';
import { type ProcessMarks, processMarks } from '../platform/process-mark.ts';
import type { PendingStop } from '../store/stop-store.ts';
import type { Commands } from './commands.ts';
import { commandLines, type DoorCommands } from './door-commands.ts';
import type { Journal } from './journal.ts';
import type { Names } from './names.ts';
import type { PendingStops } from './pending-stops.ts';

/** A door as far as its opening goes. */
export interface OpenableDoor {
  readonly name: string;
  /** Unique among the doors, and the same after a restart: the name, numbered when it is not the only one. */
  readonly key: string;
  readonly commands: DoorCommands;
  /** Milliseconds from the end of the start command to the stop command. */
  readonly cmdTimeout: number;
}

/** A start command that runs longer than this is reported, when the door itself sets no time. */
const LONG_COMMAND = 60_000;
/** The least a stop is put off while its start command still runs. */
const SHORTEST_DELAY = 1000;

export class Openings {
  readonly #commands: Commands;
  readonly #stops: PendingStops;
  readonly #journal: Journal;
  readonly #names: Names;
  readonly #announcement: string;
  readonly #marks: ProcessMarks;
  /** Grants whose start command waits or runs, and those whose last one failed. */
  readonly #starting = new Set<string>();
  readonly #failed = new Set<string>();

  constructor(parts: {
    commands: Commands;
    stops: PendingStops;
    journal: Journal;
    names: Names;
    /** Nothing is really run: say so. */
    dry?: boolean;
    /** How a start command is known again by another process; the system's, except in tests. */
    marks?: ProcessMarks;
  }) {
    this.#commands = parts.commands;
    this.#stops = parts.stops;
    this.#journal = parts.journal;
    this.#names = parts.names;
    this.#announcement = parts.dry ? 'would run command' : 'running command';
    this.#marks = parts.marks ?? processMarks;
  }

  open(door: OpenableDoor, source: Address): void {
    const lines = commandLines(door.commands, source);
    if ('nothing' in lines) return;
    if ('refused' in lines) return this.#journal.error(lines.refused);
    const address = printAddress(source);
    const lane = laneOf(door.key, address);
    const { start, stop } = lines;
    const grant = grantOf(lane, stop);
    if (stop !== undefined && this.#stops.has(door.key, address, stop) && !this.#failed.has(grant)) {
      if (!this.#starting.has(grant)) this.#stops.schedule(door.key, address, stop, door.cmdTimeout);
      const seconds = door.cmdTimeout / 1000;
      this.#names.withLabel(source, (who) => this.#journal.event(`${who}: ${door.name}: renewed for ${seconds} s`));
      return;
    }
    if (stop !== undefined) this.#stops.schedule(door.key, address, stop, door.cmdTimeout);
    this.#failed.delete(grant);
    if (stop !== undefined) this.#starting.add(grant);
    const accepted = this.#commands.submit({
      lane,
      door: door.key,
      line: start,
      expected: stop === undefined ? LONG_COMMAND : Math.max(1000, door.cmdTimeout),
      starting: () => this.#journal.event(`${door.name}: ${this.#announcement}: ${start}`, true),
      started: (pid) => {
        if (stop !== undefined)
          this.#stops.schedule(door.key, address, stop, door.cmdTimeout, this.#marks.markProcess(pid));
      },
      ended: (ending) => {
        this.#report(door.name, ending);
        if (stop === undefined) return;
        this.#starting.delete(grant);
        if (!succeeded(ending)) this.#failed.add(grant);
        this.#stops.schedule(door.key, address, stop, door.cmdTimeout);
      },
      slow: () => this.#journal.event(`${door.name}: command still running: ${start}`),
    });
    if (accepted) return;
    this.#journal.error(`${address}: ${door.name}: too many commands are waiting, this one does not run`);
    if (stop === undefined) return;
    this.#starting.delete(grant);
    this.#failed.add(grant);
  }

  /** Runs a stop whose time has come; `ended` when its record may go. The door may be gone from the configuration by now. */
  stop(stop: PendingStop, ended: () => void): void {
    const lane = laneOf(stop.door, stop.source);
    const grant = grantOf(lane, stop.command);
    const name = stop.door.replace(/#\d+$/, '');
    const source = parseAddress(stop.source);
    if (this.#starting.has(grant) || (stop.starter !== undefined && this.#marks.stillRuns(stop.starter))) {
      // The start command is slower than the door's time: the stop counts from its end.
      const delay = Math.max(SHORTEST_DELAY, stop.longest);
      this.#stops.schedule(stop.door, stop.source, stop.command, delay, stop.starter);
      return ended();
    }
    this.#failed.delete(grant);
    const expected = LONG_COMMAND;
    this.#commands.submit({
      lane,
      door: stop.door,
      closes: true,
      line: stop.command,
      expected,
      starting: () => {
        const tell = (who: string): void => this.#journal.event(`${who}: ${name}: command timeout`);
        if (source) this.#names.withLabel(source, tell);
        else tell(stop.source);
        this.#journal.event(`${name}: ${this.#announcement}: ${stop.command}`, true);
      },
      ended: (ending) => {
        this.#report(name, ending);
        ended();
      },
      slow: () => this.#journal.event(`${name}: command still running: ${stop.command}`),
    });
  }

  #report(door: string, ending: Ending): void {
    if ('failed' in ending) this.#journal.error(`${door}: error: command fork failed! (${ending.failed})`);
    else if ('signal' in ending) this.#journal.error(`${door}: command was killed by ${ending.signal}`);
    else if (ending.status !== 0) {
      this.#journal.error(`${door}: command returned non-zero status code (${ending.status})`);
    }
  }
}

function succeeded(ending: Ending): boolean {
  return 'status' in ending && ending.status === 0;
}

function grantOf(lane: string, stop: string | undefined): string {
  return `${lane}\0${stop ?? ''}`;
}

function laneOf(door: string, source: string): string {
  return `${door}\0${source}`;
}
