/** The two clocks: monotonic for windows and grants, wall for what is written down. */

/** Milliseconds since some fixed moment; never steps. */
export function monotonicNow(): number {
  return performance.now();
}

/** Milliseconds since 1970, as the machine believes. */
export function wallNow(): number {
  return Date.now();
}

/** Milliseconds that never step and that all processes of this boot share: for what one writes down and another reads. */
export function uptimeNow(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}
