/** Waiting for what comes in its own time, in end-to-end tests. */

import { setTimeout as sleep } from 'node:timers/promises';

/** On a busy machine. */
const PATIENCE = 20_000;
const PAUSE = 50;

/** Tries until it comes out as wanted (true, unless told), or the patience is at its end: the last result. */
export async function eventually<T>(
  attempt: () => T | Promise<T>,
  wanted: (result: T) => boolean = Boolean,
): Promise<T> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const result = await attempt();
    if (wanted(result) || performance.now() > deadline) return result;
    await sleep(PAUSE);
  }
}
