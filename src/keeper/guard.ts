/**
 * Sees to it that stop commands run although the daemon was killed. A shell waits for its standard input to end, which happens
 * when the daemon dies, however it dies; then it becomes the closer (`closer.ts`), which runs what is due and goes.
 * Until then the guard is a megabyte of `sh`; it is only there while a stop is pending.
 */

import { entry } from '../platform/entry.ts';
import { parkNodeOptions } from '../platform/node-options.ts';
import { startOutliving } from '../platform/process.ts';

export interface GuardSetup {
  readonly stateFile: string;
  readonly logFile: string | undefined;
  readonly syslog: boolean;
  readonly verbose: boolean;
}

const DISMISSED = '\n';

type Guarding = ReturnType<typeof startOutliving>;

export class Guard {
  #setup: GuardSetup;
  #guarding: Guarding | undefined;

  constructor(setup: GuardSetup) {
    this.#setup = setup;
  }

  /** What a closer started from now on is told; a guard that waits already is replaced. */
  setUp(setup: GuardSetup): void {
    this.#setup = setup;
    const earlier = this.#guarding;
    if (!earlier) return;
    this.#guarding = undefined;
    this.ensure();
    earlier.input?.write(DISMISSED);
  }

  /** Makes sure that somebody waits for our death. */
  ensure(): void {
    if (this.#guarding) return;
    const { script } = entry('keeper/closer');
    const closer = [process.execPath, '--disable-sigusr1', script, JSON.stringify(this.#setup)];
    const guarding = startOutliving(
      ['/bin/sh', '-c', 'read -r _ || exec "$0" "$@"', ...closer],
      parkNodeOptions(process.env),
    );
    guarding.input?.on('error', () => {}); // Its end is seen below.
    this.#guarding = guarding;
    void guarding.ended.then(() => {
      if (this.#guarding === guarding) this.#guarding = undefined;
    });
  }

  /** Nothing is pending: the guard may go. */
  dismiss(): void {
    this.#guarding?.input?.write(DISMISSED);
    this.#guarding = undefined;
  }
}
