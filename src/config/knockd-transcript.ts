/**
 * What knockd would say while it reads a configuration, up to the line at which it stops, and beside it everything we have
 * to say about the whole file. After the first fatal line knockd is silent and the collecting of problems goes on.
 */

import type { Finding, Problem } from './problem.ts';

export class Transcript {
  /** Standard output with `-D`. */
  readonly trace: string[] = [];
  /** Standard error; the last line is the fatal one when `stopped`. */
  readonly stderr: string[] = [];
  /** What also goes to the log, as far as one is open. */
  readonly logged: string[] = [];
  readonly problems: Problem[] = [];
  readonly file: string;
  #stopped = false;
  #errors = 0;

  constructor(file: string) {
    this.file = file;
  }

  /** How many errors have been reported so far. */
  get errors(): number {
    return this.#errors;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  debug(line: string): void {
    if (!this.#stopped) this.trace.push(line);
  }

  /** A line on standard error with which knockd goes on. */
  complain(line: string, logged?: string): void {
    if (this.#stopped) return;
    this.stderr.push(line);
    if (logged !== undefined) this.logged.push(logged);
  }

  /** The line on standard error with which knockd ends. */
  stop(line: string, logged?: string): void {
    this.complain(line, logged);
    this.end();
  }

  /** knockd has said its last word, which is the last one on standard error. */
  end(): void {
    this.#stopped = true;
  }

  report(line: number, about: Finding, file = this.file): void {
    this.problems.push({ ...about, file, line });
    if (about.severity === 'error') this.#errors++;
  }
}
