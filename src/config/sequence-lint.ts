/**
 * What is doubtful about sequences, in either configuration: those that a scan opens, and those that one knock opens together.
 * A table of sequences finds the latter, so a file of ten thousand doors is no slower per door than one of ten.
 */

import { printSteps, type Step, type TcpFlags } from '../core/door.ts';
import { type Finding, finding, quote } from './problem.ts';
import { countingGaps, isCounting } from './strays.ts';

/**
 * Sequences that say little: one port, UDP alone, or ports side by side that a scan meets in order. UDP to a port that is no step is
 * no stray (it may be an answer to this host), so a scan of UDP ports meets nothing between the steps that would end its attempt.
 */
export function* lintScan(steps: readonly Step[]): Generator<Finding> {
  const mix = 'Mix TCP in, and let the ports go down as well as up';
  if (steps.length === 1) {
    const message = 'A sequence of a single port is opened by every port scan';
    yield finding('warning', message, 'Use three or more ports in no order');
  } else if (steps.length > 1 && steps.every((step) => step.protocol === 'udp')) {
    const message = isCounting(steps)
      ? 'A scan of UDP ports in counting order opens this sequence: its steps are UDP alone, and in that order'
      : 'The sequence is UDP alone: its source can be forged, and a scan of UDP ports in random order may open it';
    yield finding('warning', message, mix);
  }
  if (countingGaps(steps) === 0) {
    const message = 'A port scan opens this sequence: its ports follow each other without a gap';
    yield finding('warning', message, 'Change the order, or use ports that are not neighbours');
  }
}

/** A door as far as its sequence goes. */
export interface Sequenced {
  readonly name: string;
  /** Where the door begins. */
  readonly line: number;
  /** Where its sequence is written. */
  readonly sequenceLine: number;
  readonly steps: readonly Step[];
  readonly tcpFlags: TcpFlags;
  /** As text; doors of different targets hear different packets. */
  readonly target?: string;
}

export interface NeighbourFinding {
  readonly door: Sequenced;
  readonly about: Finding;
}

/** Doors that one knock opens together: the same sequence, or one that begins with another. Those without steps don't count. */
export function* lintNeighbours(doors: readonly Sequenced[]): Generator<NeighbourFinding> {
  const sequences = new SequenceTable();
  for (const door of doors) if (door.steps.length > 0) sequences.add(door);
  for (const door of doors) {
    if (door.steps.length === 0) continue;
    const same = sequences.find(door.steps, door);
    if (same && same.line < door.line) {
      const message = `This door has the same sequence as ${place(same)}: one knock opens both`;
      yield { door, about: finding('warning', message, 'Change one of the two sequences') };
    }
    for (let length = 1; length < door.steps.length; length++) {
      const shorter = sequences.find(door.steps.slice(0, length), door);
      if (!shorter) continue;
      const message = `The sequence begins with the whole sequence of ${place(shorter)}: every knock opens that door too`;
      yield { door, about: finding('warning', message, 'Change the first ports of one of the two') };
    }
  }
}

/** Doors by their sequence, to find those that the same packets open. */
class SequenceTable {
  readonly #doors = new Map<string, Sequenced[]>();

  add(door: Sequenced): void {
    const key = printSteps(door.steps);
    const same = this.#doors.get(key);
    if (!same) this.#doors.set(key, [door]);
    // A few are enough to tell of one; the bound keeps a file of equal doors linear.
    else if (same.length < 8) same.push(door);
  }

  /** An earlier or other door with exactly these steps that hears the same destination. */
  find(steps: readonly Step[], door: Sequenced): Sequenced | undefined {
    return this.#doors.get(printSteps(steps))?.find((other) => other !== door && hearSame(other, door));
  }
}

function hearSame(x: Sequenced, y: Sequenced): boolean {
  const clash = (x.tcpFlags.set & y.tcpFlags.clear) | (x.tcpFlags.clear & y.tcpFlags.set);
  return clash === 0 && (x.target === undefined || y.target === undefined || x.target === y.target);
}

function place(door: Sequenced): string {
  return `door ${quote(door.name)} of line ${door.line}`;
}
