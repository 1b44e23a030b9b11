/** Programs that run only in a test's mind: started by the code under test, ended by the test. */

import type { Ending, RunningProgram } from '../../src/platform/process.ts';
import type { ProcessMarks } from '../../src/platform/process-mark.ts';

export interface FakeProgram {
  readonly pid: number;
  readonly line: string;
  end(ending?: Ending): void;
}

export class FakePrograms {
  /** Every line that was ever started, in order. */
  readonly started: string[] = [];
  #running: FakeProgram[] = [];

  readonly run = (line: string): RunningProgram => {
    const { promise, resolve } = Promise.withResolvers<Ending>();
    this.started.push(line);
    const pid = this.started.length;
    const program: FakeProgram = {
      pid,
      line,
      end: (ending = { status: 0 }) => {
        this.#running = this.#running.filter((other) => other !== program);
        resolve(ending);
      },
    };
    this.#running.push(program);
    return { pid, ended: promise, kill: () => program.end({ signal: 'SIGKILL' }) };
  };

  readonly marks: ProcessMarks = {
    markProcess: (pid) => String(pid),
    stillRuns: (mark) => this.#running.some((program) => String(program.pid) === mark),
  };

  get running(): readonly string[] {
    return this.#running.map((program) => program.line);
  }

  /** Ends the eldest that runs this line. */
  end(line: string, ending?: Ending): void {
    const program = this.#running.find((running) => running.line === line);
    if (!program) throw new Error(`"${line}" does not run; these do: ${this.running.join(', ')}`);
    program.end(ending);
  }
}

/** Lets what hangs on promises that are settled already run. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}
