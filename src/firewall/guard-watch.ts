/**
 * A watch for firewalls that do not tell: asks whether the guard stands, soon after an installation or a loss, then ever less often,
 * at least every two seconds unless asking takes long. Whoever hears of changes may call `ask` at once.
 */

import { after } from '../platform/timer.ts';

const SOON = 200;
const SELDOM = 2000;
/** Asking takes at most this share of one processor. */
const SHARE = 0.05;

interface GuardWatch {
  ask(): void;
  /** There was an installation: look again soon. */
  soon(): void;
  close(): void;
}

export interface WatchPorts {
  /** Must not say no twice for one loss. */
  readonly stands: () => Promise<boolean>;
  readonly warn: (message: string) => void;
}

/** The watches of one driver. */
export class GuardWatches {
  readonly #ports: WatchPorts;
  readonly #watches = new Set<GuardWatch>();

  constructor(ports: WatchPorts) {
    this.#ports = ports;
  }

  /** `listen` is for who can hear of changes, too: it gets what is to be called then. */
  begin(lost: () => void, listen?: (ask: () => void) => { close(): void } | undefined): { close(): void } {
    const watch = watchGuard({ ...this.#ports, lost });
    const listener = listen?.(watch.ask);
    const mine: GuardWatch = {
      ...watch,
      close: () => {
        if (!this.#watches.delete(mine)) return;
        watch.close();
        listener?.close();
      },
    };
    this.#watches.add(mine);
    return mine;
  }

  /** There was an installation. */
  soon(): void {
    for (const watch of this.#watches) watch.soon();
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
  }
}

function watchGuard(ports: WatchPorts & { readonly lost: () => void }): GuardWatch {
  let delay = SOON;
  let cancel = (): void => {};
  let asking = false;
  let again = false;
  let closed = false;
  const wait = (time: number): void => {
    cancel();
    if (!closed) cancel = after(time, () => void ask());
  };
  const ask = async (): Promise<void> => {
    again = asking;
    if (asking || closed) return;
    asking = true;
    cancel();
    const started = performance.now();
    try {
      if (!(await ports.stands())) {
        delay = SOON;
        if (!closed) ports.lost();
      }
    } catch (error) {
      ports.warn(`Cannot see whether the guard stands: ${(error as Error).message}`);
    }
    asking = false;
    if (again) return void ask();
    wait(Math.max(delay, (performance.now() - started) / SHARE));
    delay = Math.min(delay * 1.5, SELDOM);
  };
  wait(delay);
  return {
    ask: () => void ask(),
    soon: () => {
      delay = SOON;
      if (!asking) wait(delay);
    },
    close: () => {
      closed = true;
      cancel();
    },
  };
}
