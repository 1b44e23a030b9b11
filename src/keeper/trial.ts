/**
 * A configuration on trial (`postern apply`), as the daemon sees it: when it begins, when it is confirmed and when it is taken back goes into
 * the history, and while it lasts nothing else may be put in force.
 *
 * - The files of the state say what is so, and only root writes them: nothing that is asked at the control socket counts as a confirmation.
 * - Each event names the trial by its token (`reason`), so that a daemon that was dead at its end tells it at the next start, once.
 * - While a trial lasts, a reload takes the text that is tried, or the one before: what somebody wrote meanwhile was proven by nobody, and
 *   the rollback would take back another change than was made.
 * - A trial that nobody has taken back when its time is over has lost its rollback: the daemon starts another one, again and again.
 */

import type { HistoryEvent, HistoryType } from '../core/history.ts';
import { outcomeOf, type PendingChange, readInterrupted, readPending, timeLeft } from '../store/pending-change.ts';

export interface TrialPorts {
  /** Of the state. */
  readonly folder: string;
  readonly record: (event: HistoryEvent) => void;
  /** The newest entry of these types, if there is one. */
  readonly latest: (types: readonly HistoryType[]) => HistoryEvent | undefined;
  readonly wallNow: () => number;
  readonly uptimeNow: () => number;
  /** Starts another rollback of this trial; whoever comes second finds nothing to do. */
  readonly takeBack: (token: string) => void;
  readonly after: (delay: number, call: () => void) => () => void;
}

/** What `postern status` says of it. */
export interface TrialStatus {
  /** The file that is tried. */
  readonly file: string;
  readonly remaining_ms: number;
}

/** For people who meet one. */
export function onTrial({ file, remaining_ms }: TrialStatus): string {
  const left = Math.ceil(remaining_ms / 1000);
  return `on trial for another ${left} s: postern --config ${file} confirm keeps it, else what was before is back`;
}

const LOOK_EVERY = 500;
/** From the end of a trial to the day that its own rollback is given up, and between the others. */
const GRACE = 5000;
const AGAIN = 10_000;
const TYPES = ['applied', 'confirmed', 'reverted'] as const;

export class Trial {
  readonly #ports: TrialPorts;
  #known: Pick<PendingChange, 'token' | 'file'> | undefined;
  #recalled = false;
  #cancel: (() => void) | undefined;
  #guardedAt = Number.NEGATIVE_INFINITY;

  constructor(ports: TrialPorts) {
    this.#ports = ports;
  }

  /** A configuration was put in force, at the start too: has a trial begun with it? */
  loaded(): void {
    this.#recall();
    this.settle();
    const pending = readPending(this.#ports.folder);
    if (!pending) return;
    if (this.#known?.token !== pending.token) {
      this.#known = pending;
      const seconds = Math.round((pending.until - pending.since) / 1000);
      this.#record('applied', pending, `${pending.file}, for ${seconds} s`);
    }
    this.#wait();
  }

  /** Has the trial ended? */
  settle(): void {
    const known = this.#known;
    if (!known || readPending(this.#ports.folder)?.token === known.token) return;
    this.#known = undefined;
    this.release();
    const { folder } = this.#ports;
    const outcome = readInterrupted(folder)?.token === known.token ? 'reverted' : outcomeOf(folder, known.token);
    if (outcome) return this.#record(outcome, known, known.file);
    const detail = `How the trial of ${known.file} ended is not known: see what is in force, postern doctor`;
    this.#ports.record({ type: 'warned', detail });
  }

  status(): TrialStatus | undefined {
    this.settle();
    const pending = this.#known && readPending(this.#ports.folder);
    if (!pending) return undefined;
    return { file: pending.file, remaining_ms: this.#left(pending) };
  }

  /** Why this text must not be put in force now; undefined when it may. */
  objection(text: string, inForce: string): string | undefined {
    this.settle();
    const pending = this.#known && readPending(this.#ports.folder);
    if (!pending || text === inForce || text === pending.previous) return undefined;
    const left = Math.ceil(this.#left(pending) / 1000);
    return [
      `${pending.file} has changed, and what it was before is on trial for another ${left} s`,
      'The configuration is unchanged',
      `hint: Keep what is on trial (postern --config ${pending.file} confirm), or wait until it is taken back; then postern apply`,
    ].join('\n');
  }

  /** Is this the text of a change that waits for its confirmation? */
  isOn(text: string): boolean {
    return readPending(this.#ports.folder)?.tried === text;
  }

  /** The file of that change. */
  get file(): string | undefined {
    return readPending(this.#ports.folder)?.file;
  }

  /** Stops the looking. */
  release(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** An earlier daemon may have told the beginning: asked once. */
  #recall(): void {
    const last = this.#recalled ? undefined : this.#ports.latest(TYPES);
    this.#recalled = true;
    if (last?.type !== 'applied' || last.reason === undefined) return;
    this.#known = { token: last.reason, file: last.detail?.replace(/, for \d+ s$/, '') ?? '' };
  }

  #wait(): void {
    this.#cancel ??= this.#ports.after(LOOK_EVERY, () => {
      this.#cancel = undefined;
      this.settle();
      if (!this.#known) return;
      this.#guard();
      this.#wait();
    });
  }

  /** Is there a rollback at all? */
  #guard(): void {
    const pending = readPending(this.#ports.folder);
    const now = this.#ports.uptimeNow();
    if (!pending || timeLeft(pending, this.#now()) > -GRACE || now - this.#guardedAt < AGAIN) return;
    this.#guardedAt = now;
    this.#ports.record({
      type: 'warned',
      detail: `The time of the trial of ${pending.file} is over, and nobody has taken it back: the daemon has it taken back`,
    });
    this.#ports.takeBack(pending.token);
  }

  #left(pending: PendingChange): number {
    return Math.max(0, Math.round(timeLeft(pending, this.#now())));
  }

  #now(): { readonly wall: number; readonly uptime: number } {
    return { wall: this.#ports.wallNow(), uptime: this.#ports.uptimeNow() };
  }

  #record(type: (typeof TYPES)[number], { token }: Pick<PendingChange, 'token'>, detail: string): void {
    this.#ports.record({ type, reason: token, detail });
  }
}
