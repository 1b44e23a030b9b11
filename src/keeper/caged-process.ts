/**
 * Keeps a confined process of ours alive, the watcher or the tarpit: starts it with its sockets and a channel, hands its reports on, starts
 * a new one when it dies.
 *
 * The first restart is immediate; one that keeps dying waits longer each time, up to five seconds. A line that is not exactly
 * a report, or one that never ends, means that the watcher is captured or broken: it is killed and replaced, and nothing else
 * happens. One that has not answered for ten seconds hangs, and is replaced too. The sockets belong to the keeper, so filter, ring and
 * listeners outlive every such process.
 */

import { encodeOrder, LONGEST_REPORT, type Order } from '../core/messages.ts';
import type { ConnectedProgram, Ending } from '../platform/process.ts';

/** What every such process answers when it is asked whether it lives. */
interface Alive {
  readonly type: 'alive';
  readonly number: number;
}

export interface CagedPorts<R extends { readonly type: string }> {
  readonly start: () => ConnectedProgram;
  /** Reads a line; undefined for one that is none of the reports. */
  readonly decode: (line: string) => R | Alive | undefined;
  readonly report: (report: R) => void;
  /** One is up: it needs its configuration. */
  readonly started: () => void;
  readonly died: (how: string) => void;
  readonly monotonicNow: () => number;
  readonly after: (delay: number, call: () => void) => () => void;
}

/** Between a question and the look for its answer. */
const PATIENCE = 10_000;
const LIVED_WELL = 10_000;
const LONGEST_PAUSE = 5_000;

export class CagedProcess<R extends { readonly type: string }> {
  readonly #ports: CagedPorts<R>;
  #program: ConnectedProgram | undefined;
  #born = 0;
  #deaths = 0;
  #stopped = false;
  #cancel: (() => void) | undefined;
  #asked = 0;
  #answered = 0;
  #answeredAt: number | undefined;
  #cancelQuestion = (): void => {};

  constructor(ports: CagedPorts<R>) {
    this.#ports = ports;
  }

  get pid(): number | undefined {
    return this.#program?.pid;
  }

  /** When one last answered the newest question, by the monotonic clock; undefined when none has. */
  get answeredAt(): number | undefined {
    return this.#answeredAt;
  }

  start(): void {
    if (this.#stopped) return;
    let program: ConnectedProgram;
    try {
      program = this.#ports.start();
    } catch (error) {
      return this.#buried(`could not be started: ${(error as Error).message}`, 0);
    }
    this.#program = program;
    this.#born = this.#ports.monotonicNow();
    let rest = '';
    program.channel.setEncoding('utf8');
    program.channel.on('error', () => {}); // Its end is reported by the exit.
    program.channel.on('data', (text: string) => {
      if (this.#program !== program) return;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const report = this.#ports.decode(line);
        if (!report) return this.#distrust(program);
        if (isAlive(report)) this.#hearAnswer(report.number);
        else this.#ports.report(report);
        if (this.#program !== program) return;
      }
      if (rest.length > LONGEST_REPORT) this.#distrust(program);
    });
    void program.ended.then((ending) => {
      if (this.#program !== program) return;
      this.#buried(describe(ending), this.#ports.monotonicNow() - this.#born);
    });
    this.#ports.started();
    this.#ask(program);
  }

  send(order: Order): void {
    this.#program?.channel.write(encodeOrder(order));
  }

  /** Replaces one that has lost its capture; not at once when that happens again and again. */
  replace(): void {
    const program = this.#program;
    if (!program) return;
    program.kill('SIGKILL');
    this.#buried('lost its capture', this.#ports.monotonicNow() - this.#born);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#kill();
  }

  #ask(program: ConnectedProgram): void {
    this.#cancelQuestion();
    this.send({ type: 'ping', number: ++this.#asked });
    this.#cancelQuestion = this.#ports.after(PATIENCE, () => {
      if (this.#program !== program) return;
      if (this.#answered === this.#asked) return this.#ask(program);
      program.kill('SIGKILL');
      this.#buried('did not answer and was killed', this.#ports.monotonicNow() - this.#born);
    });
  }

  #hearAnswer(number: number): void {
    this.#answered = number;
    if (number === this.#asked) this.#answeredAt = this.#ports.monotonicNow();
  }

  #distrust(program: ConnectedProgram): void {
    program.kill('SIGKILL');
    this.#buried('sent a message that is none and was killed', 0);
  }

  #kill(): void {
    this.#cancelQuestion();
    const program = this.#program;
    this.#program = undefined;
    program?.kill('SIGKILL');
    program?.channel.destroy();
  }

  #buried(how: string, lived: number): void {
    this.#cancelQuestion();
    this.#program?.channel.destroy();
    this.#program = undefined;
    if (this.#stopped) return;
    this.#deaths = lived > LIVED_WELL ? 0 : this.#deaths + 1;
    this.#ports.died(how);
    // Whoever was told may have had enough.
    if (this.#stopped) return;
    const pause = this.#deaths <= 1 ? 0 : Math.min(LONGEST_PAUSE, 50 * 2 ** (this.#deaths - 2));
    if (pause === 0) this.start();
    else this.#cancel = this.#ports.after(pause, () => this.start());
  }
}

function isAlive(report: { readonly type: string }): report is Alive {
  return report.type === 'alive';
}

function describe(ending: Ending): string {
  if ('failed' in ending) return `could not be started: ${ending.failed}`;
  return 'signal' in ending ? `was killed by ${ending.signal}` : `exited with status ${ending.status}`;
}
