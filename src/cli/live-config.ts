/**
 * The file of a running daemon: which text is in force, what a reload may put in its place and what not, and what is remembered for
 * `postern apply`, which can take back only what it knows.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import { Refusal } from '../control/controlled.ts';
import { reasonOf } from '../keeper/journal.ts';
import { onTrial, type Trial } from '../keeper/trial.ts';
import { changedFixedParts } from '../keeper/warden-config.ts';
import { isSameFile } from '../platform/same-file.ts';
import { writeApplied } from '../store/pending-change.ts';
import { posternCommand } from './daemon-socket.ts';
import { forgetInterrupted, type Settled } from './interrupted-trial.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { hasHooks } from './posternd-privileges.ts';

/** What was given at the start. */
export interface LiveFile {
  readonly own: string;
  /** As it was named. */
  readonly shown: string;
  readonly strict: boolean;
  /** Has the daemon given up what hooks may want? */
  readonly keepsFew: boolean;
}

export interface LivePorts {
  readonly trial: Pick<Trial, 'file' | 'isOn' | 'loaded' | 'objection' | 'status'>;
  readonly warn: (text: string) => void;
}

export class LiveConfig {
  readonly #file: LiveFile;
  readonly #ports: LivePorts;
  readonly #began: PosternConfig;
  #warnings: readonly string[];
  #inForce: string;
  /** As it was read last. */
  #read: string;

  constructor(file: LiveFile, ports: LivePorts, { config, text, warnings }: Settled) {
    this.#file = file;
    this.#ports = ports;
    this.#began = config;
    this.#warnings = warnings;
    this.#inForce = text;
    this.#read = text;
  }

  /** What there was to say at the start, until a reload. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Reads what is to be in force; throws a `Refusal` for what cannot, or must not now. */
  load(): { readonly config: PosternConfig; readonly warnings: readonly string[] } {
    const { own, shown, strict, keepsFew } = this.#file;
    const { trial } = this.#ports;
    if (trial.file !== undefined && !isSameFile(trial.file, own)) throw new Refusal(readsAnother(trial.file, own));
    const { config, complaints, text = '' } = loadPosternToml(own, { shownAs: shown, strict });
    if (!config) throw new Refusal([...complaints, 'The configuration is unchanged'].join('\n'));
    const objection = trial.objection(text, this.#inForce);
    if (objection !== undefined) throw new Refusal(objection);
    this.#read = text;
    const later = changedFixedParts(this.#began, config);
    if (trial.isOn(text) && later.length > 0) throw new Refusal(untried(later));
    const onTrialNow = text === this.#inForce ? trial.status() : undefined;
    const hooks = keepsFew && hasHooks(config) ? [HOOKS_WITHOUT] : [];
    return { config, warnings: [...complaints, ...(onTrialNow ? [onTrial(onTrialNow)] : []), ...hooks] };
  }

  /** The first one is in force. */
  started(): void {
    this.#remember();
    this.#ports.trial.loaded();
  }

  /** What was read last is in force. */
  loaded(): void {
    this.#inForce = this.#read;
    this.#warnings = [];
    forgetInterrupted(this.#began.state.dir);
    this.started();
  }

  #remember(): void {
    const { dir } = this.#began.state;
    try {
      writeApplied(dir, this.#inForce);
    } catch (error) {
      this.#ports.warn(`Cannot write to ${dir}: ${reasonOf(error)}: postern apply does not know what is in force`);
    }
  }
}

/** A daemon that has given capabilities up cannot have them back. */
const HOOKS_WITHOUT =
  'Hooks have the capabilities that the daemon has kept, CAP_NET_ADMIN and CAP_NET_RAW, until posternd is started anew';

/** A trial that tried something else than what would be kept. */
function untried(parts: readonly string[]): string {
  return [
    `What takes effect with the next start cannot be tried while the daemon runs: ${parts.join(', ')}`,
    'The configuration is unchanged',
    'hint: Stop posternd (doors stay closed, open ones to their time), then postern apply: it starts it on trial',
  ].join('\n');
}

/** A trial of a file that this daemon does not read would change nothing, and prove as much. */
function readsAnother(tried: string, own: string): string {
  return [
    `The daemon that guards this host reads ${own}, not ${tried}`,
    'The configuration is unchanged',
    `hint: Change that file (${posternCommand(own, 'apply')}), or stop posternd, then apply: it is started with yours`,
  ].join('\n');
}
