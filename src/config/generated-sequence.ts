/**
 * A knock that nobody has thought up: random ports, TCP and UDP mixed, going up and down, no two of them neighbours. Randomness is an
 * argument: the caller's is the system's.
 */

import type { Step } from '../core/door.ts';
import { lintScan } from './sequence-lint.ts';

export interface SequenceWishes {
  /** How many steps, at least five. */
  readonly length: number;
  /** Ports that somebody uses, or will. */
  readonly isTaken: (step: Step) => boolean;
  /** A uniform whole number from 0 to `below` - 1. */
  readonly random: (below: number) => number;
}

/** Above the services, below the ports that systems take for their own traffic (32768 on Linux, 49152 by RFC 6335). */
const FIRST = 1024;
const LAST = 32_767;
/** So far apart that a scan in ranges meets a step only now and then. */
const APART = 16;
const MOST_TRIES = 10_000;

/** Throws a RangeError when nearly every port is taken. */
export function generateSequence({ length, isTaken, random }: SequenceWishes): Step[] {
  for (let attempt = 0; attempt < MOST_TRIES; attempt += 1) {
    const steps = Array.from({ length: Math.max(5, length) }, (): Step => {
      const port = FIRST + random(LAST - FIRST + 1);
      return { protocol: random(2) === 0 ? 'tcp' : 'udp', port };
    });
    if (isGood(steps) && !steps.some(isTaken)) return steps;
  }
  throw new RangeError('Cannot find free ports for a knock');
}

function isGood(steps: readonly Step[]): boolean {
  const ports = steps.map(({ port }) => port);
  const sorted = [...ports].sort((x, y) => x - y);
  const tcp = steps.filter(({ protocol }) => protocol === 'tcp').length;
  return (
    sorted.every((port, index) => index === 0 || port - sorted[index - 1]! >= APART) &&
    // At least two of each: a TCP step lets strays count everywhere, a UDP step is seen by no TCP scan.
    tcp >= 2 &&
    steps.length - tcp >= 2 &&
    turns(ports) >= 2 &&
    [...lintScan(steps)].length === 0
  );
}

/** How often the ports change between going up and going down. */
function turns(ports: readonly number[]): number {
  let count = 0;
  for (let at = 2; at < ports.length; at += 1) {
    if (ports[at]! > ports[at - 1]! !== ports[at - 1]! > ports[at - 2]!) count += 1;
  }
  return count;
}
