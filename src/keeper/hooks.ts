/**
 * The administrator's programs that run when a door opens or closes: an argv without a shell, facts in the environment, a time
 * limit, output into the history. They never hold a door up; how many run at once is bounded, and what finds no room is recorded.
 */

import { printAddress } from '../core/address.ts';
import type { HistoryEvent } from '../core/history.ts';
import type { DoorPolicy } from '../core/policy.ts';
import { type Ending, runHook } from '../platform/process.ts';
import type { LiveGrant } from './grants.ts';

const MOST_RUNNING = 32;
const MOST_OUTPUT = 2048;

export class Hooks {
  readonly #record: (event: HistoryEvent) => void;
  #running = 0;

  constructor(record: (event: HistoryEvent) => void) {
    this.#record = record;
  }

  run(door: DoorPolicy, when: 'open' | 'close', grant: LiveGrant): void {
    const argv = when === 'open' ? door.hooks.onOpen : door.hooks.onClose;
    const [program, ...rest] = argv ?? [];
    if (program === undefined) return;
    const source = printAddress(grant.source);
    const about = { type: 'hooked', door: door.name, source, reason: `on_${when}` } as const;
    if (this.#running >= MOST_RUNNING) return this.#record({ ...about, detail: 'too many hooks are running' });
    this.#running++;
    const env = {
      POSTERN_EVENT: when,
      POSTERN_DOOR: door.name,
      POSTERN_SOURCE: source,
      POSTERN_VIA: grant.via,
      ...(grant.user !== undefined && { POSTERN_USER: grant.user }),
    };
    const limits = { timeout: door.hooks.timeLimit, limit: MOST_OUTPUT };
    void runHook([program, ...rest], env, limits).then(({ ending, output, late }) => {
      this.#running--;
      const how = late ? `killed after ${door.hooks.timeLimit} ms` : describe(ending);
      const said = output.trim();
      if (how !== undefined || said !== '') {
        this.#record({ ...about, detail: [how, said].filter((part) => part !== undefined && part !== '').join(': ') });
      }
    });
  }
}

/** Undefined for what went well. */
function describe(ending: Ending): string | undefined {
  if ('failed' in ending) return `could not be started: ${ending.failed}`;
  if ('signal' in ending) return `ended by ${ending.signal}`;
  return ending.status === 0 ? undefined : `ended with status ${ending.status}`;
}
