/**
 * The administrator's programs that run when a door opens or closes: an argv without a shell, facts in the environment, a time
 * limit, output into the history.
 *
 * They never hold a door up. Hooks of one door for one source run one after another, so that what closes comes after what opens;
 * how many run at once is bounded, others wait. What finds no room even to wait is recorded.
 */

import { family, printAddress } from '../core/address.ts';
import type { HistoryEvent } from '../core/history.ts';
import { type DoorPolicy, printPrefix } from '../core/policy.ts';
import { type Ending, runHook } from '../platform/process.ts';
import type { LiveGrant } from './grants.ts';

const MOST_RUNNING = 32;
const MOST_WAITING = 1024;
const MOST_OUTPUT = 2048;

interface Waiting {
  readonly lane: string;
  readonly run: () => Promise<void>;
}

export class Hooks {
  readonly #record: (event: HistoryEvent) => void;
  readonly #ipv6Prefix: () => number;
  readonly #start: typeof runHook;
  /** In the order in which they are to run. */
  readonly #waiting: Waiting[] = [];
  /** Door and source of those that run. */
  readonly #running = new Set<string>();

  constructor(record: (event: HistoryEvent) => void, ipv6Prefix: () => number, start: typeof runHook = runHook) {
    this.#record = record;
    this.#ipv6Prefix = ipv6Prefix;
    this.#start = start;
  }

  run(door: DoorPolicy, when: 'open' | 'close', grant: LiveGrant): void {
    const argv = when === 'open' ? door.hooks.onOpen : door.hooks.onClose;
    const [program, ...rest] = argv ?? [];
    if (program === undefined) return;
    const source = printAddress(grant.source);
    const about = { type: 'hooked', door: door.name, source, reason: `on_${when}` } as const;
    const env = {
      POSTERN_EVENT: when,
      POSTERN_DOOR: door.name,
      POSTERN_SOURCE: printAddress(grant.knocker ?? grant.source),
      POSTERN_NETWORK: printPrefix({
        address: grant.source,
        length: family(grant.source) === 4 ? 32 : this.#ipv6Prefix(),
      }),
      POSTERN_VIA: grant.via,
      POSTERN_USER: grant.user ?? '',
    };
    const limits = { timeout: door.hooks.timeLimit, limit: MOST_OUTPUT };
    const run = async (): Promise<void> => {
      const failed = (error: Error) => ({ ending: { failed: error.message }, output: '', late: false });
      const { ending, output, late } = await this.#start([program, ...rest], env, limits).catch(failed);
      const how = late ? `killed after ${limits.timeout} ms` : describe(ending);
      const said = output.trim();
      if (how === undefined && said === '') return;
      this.#record({ ...about, detail: [how, said].filter((part) => part !== undefined && part !== '').join(': ') });
    };
    if (this.#waiting.length >= MOST_WAITING) {
      return this.#record({ ...about, detail: 'it was not run: too many hooks are waiting' });
    }
    this.#waiting.push({ lane: `${door.name}\0${source}`, run });
    this.#next();
  }

  #next(): void {
    for (let index = 0; index < this.#waiting.length && this.#running.size < MOST_RUNNING; ) {
      const { lane, run } = this.#waiting[index]!;
      if (this.#running.has(lane)) {
        index++;
        continue;
      }
      this.#waiting.splice(index, 1);
      this.#running.add(lane);
      void run().finally(() => {
        this.#running.delete(lane);
        this.#next();
      });
    }
  }
}

/** Undefined for what went well. */
function describe(ending: Ending): string | undefined {
  if ('failed' in ending) return `could not be started: ${ending.failed}`;
  if ('signal' in ending) return `ended by ${ending.signal}`;
  return ending.status === 0 ? undefined : `ended with status ${ending.status}`;
}
