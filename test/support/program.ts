/**
 * A program of the tests inside a namespace that answers lines: an order is a JSON object to which an `id` is added, its answer
 * a JSON object with that id. Other lines that it writes are kept, as `lines` of the running program.
 */

import { join } from 'node:path';
import type { Host } from './netns.ts';
import type { Running } from './running.ts';

export interface AskedProgram {
  readonly running: Running;
  /** Resolves with the answer, however many others are under way. Rejects when the program ends before, or takes half a minute. */
  ask(order: object): Promise<unknown>;
}

const ANSWER_TIMEOUT = 30_000;

/** Starts `program`, a file beside this one, on the host; it ends with the topology. */
export function startProgram(host: Host, program: string, ...args: readonly string[]): AskedProgram {
  const running = host.spawn([process.execPath, join(import.meta.dirname, program), ...args], {
    input: { open: true },
  });
  let last = 0;
  return {
    running,
    async ask(order) {
      last += 1;
      const from = running.lines.length;
      running.write(`${JSON.stringify({ ...order, id: last })}\n`);
      const [line] = await running.waitForLine(new RegExp(`^\\{"id":${last},.*`), ANSWER_TIMEOUT, from);
      return JSON.parse(line);
    },
  };
}
