/**
 * A daemon that was told to end does so although its output is not read: a log reader that stalls must not keep a service from
 * stopping. A program that ends by itself waits for its reader instead (`bin/launch.cjs`), who may be a pager.
 */

import { after } from '../platform/timer.ts';

/** Milliseconds a reader has for what is still unread. */
export const LAST_WORDS = 1000;

/** What `leaveSoon` touches of the world; a test brings its own. */
export interface FarewellPorts {
  readonly after: (delay: number, call: () => void) => unknown;
  readonly exit: (status: number) => void;
}

/** Call when all is done but the output: this process ends with `status` as soon as that is written, or after `LAST_WORDS`. */
export function leaveSoon(
  status: number,
  ports: FarewellPorts = { after, exit: (code) => process.exit(code) },
): number {
  ports.after(LAST_WORDS, () => ports.exit(status));
  return status;
}
