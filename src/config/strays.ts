/**
 * How many strays an attempt may survive: what the configuration says, held to what the sequence allows. Both configurations
 * and the next one-time sequence go through here.
 */

import type { Step } from '../core/door.ts';

/** How many strays an attempt survives unless told otherwise (design section 5). */
export const DEFAULT_STRAYS = 2;

/**
 * How many strays an attempt on these steps may survive, at most `strays`. A scan that counts through the ports meets the ports
 * between the steps as strays, so a counting sequence with few of them is held to fewer; also for the next one-time sequence.
 */
export function lowerStrays(steps: readonly Step[], strays: number): number {
  const gaps = countingGaps(steps);
  return gaps === undefined ? strays : Math.max(0, Math.min(strays, gaps - 1));
}

/** The ports strictly between the steps of a TCP sequence that only counts up or only counts down; undefined for others. */
export function countingGaps(steps: readonly Step[]): number | undefined {
  if (steps.length < 2 || steps.some((step) => step.protocol !== 'tcp') || !isCounting(steps)) return undefined;
  return jumpsOf(steps).reduce((total, jump) => total + Math.abs(jump) - 1, 0);
}

/** Do the ports only go up, or only go down? */
export function isCounting(steps: readonly Step[]): boolean {
  const jumps = jumpsOf(steps);
  return jumps.every((jump) => jump > 0) || jumps.every((jump) => jump < 0);
}

function jumpsOf(steps: readonly Step[]): readonly number[] {
  return steps.slice(1).map((step, i) => step.port - (steps[i]?.port ?? 0));
}
