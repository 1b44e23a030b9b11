/**
 * A program that a test runs: started, waited for by what it says, and ended. The programs of a machine's administrator are
 * found too, although an ordinary PATH lacks their folders.
 */

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';

/** How a program ended, and everything it wrote. */
export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: NodeJS.ProcessEnv;
  /** Written to the standard input, which is then closed; `{ open: true }` leaves it open for `write()`; without either there is none. */
  readonly input?: string | { readonly open: true };
}

export interface ExecOptions extends RunOptions {
  /** After so many milliseconds the program is killed; default 30,000. */
  readonly timeout?: number;
  /** Return whatever the status is, instead of throwing when it is not 0. */
  readonly mayFail?: boolean;
}

const COMMAND_TIMEOUT = 30_000;
const LINE_TIMEOUT = 10_000;
const STOP_TIMEOUT = 5_000;

/** The path of a program, also in the folders of system programs that an ordinary PATH lacks; undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  return searchPath()
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

function searchPath(): string {
  return `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin`;
}

/** A program that runs, and the lines it has written so far. */
export class Running {
  readonly argv: readonly string[];
  /** Resolves when the program has ended and its streams are closed; rejects when it could not be started. */
  readonly ended: Promise<Ended>;
  /** Complete lines of stdout and stderr together, in the order in which they came. */
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #written = { stdout: '', stderr: '' };
  readonly #waiting = new Set<() => void>();
  #over = false;

  constructor(argv: readonly string[], options: RunOptions = {}) {
    this.argv = argv;
    const env = { ...process.env, PATH: searchPath(), ...options.env };
    const stdin = options.input === undefined ? 'ignore' : 'pipe';
    const settings: SpawnOptions = { env, stdio: [stdin, 'pipe', 'pipe'] };
    if (options.cwd !== undefined) settings.cwd = options.cwd;
    this.#child = spawn(argv[0]!, argv.slice(1), settings);
    this.#collect('stdout');
    this.#collect('stderr');
    // A program may end without reading its input.
    this.#child.stdin?.on('error', () => {});
    if (typeof options.input === 'string') this.#child.stdin?.end(options.input);
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (status, signal) => resolve({ status, signal, ...this.#written }));
    });
    this.ended
      .catch(() => {})
      .finally(() => {
        this.#over = true;
        this.#wake();
      });
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error(`Cannot start ${this.#describe()}`);
    return pid;
  }

  get running(): boolean {
    return !this.#over;
  }

  get stdout(): string {
    return this.#written.stdout;
  }

  get stderr(): string {
    return this.#written.stderr;
  }

  /** Writes to a standard input that was left open. */
  write(text: string): void {
    if (this.#child.stdin === null) throw new Error(`The standard input of ${this.#describe()} is not open`);
    this.#child.stdin.write(text);
  }

  /** Sends a signal to the program alone, not to its children. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** SIGTERM (or `signal`), and SIGKILL after five seconds; resolves when it is over. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.kill(signal);
    const killer = setTimeout(() => this.kill('SIGKILL'), STOP_TIMEOUT);
    try {
      return await this.ended;
    } finally {
      clearTimeout(killer);
    }
  }

  /** Waits for the end; throws when the program failed (unless `mayFail`) or had to be killed after `timeout`. */
  async end({ timeout = COMMAND_TIMEOUT, mayFail = false }: ExecOptions = {}): Promise<Ended> {
    let late = false;
    const killer = setTimeout(() => {
      late = true;
      this.kill('SIGKILL');
    }, timeout);
    const ended = await this.ended.finally(() => clearTimeout(killer));
    if (late) throw new Error(`${this.#describe()} took longer than ${timeout} ms${this.#output()}`);
    if (!mayFail && ended.status !== 0) {
      throw new Error(`${this.#describe()} ended with ${ended.signal ?? `status ${ended.status}`}${this.#output()}`);
    }
    return ended;
  }

  /**
   * Waits until a line of stdout or stderr matches; lines already there count, from number `from` on (`running.lines.length` for
   * new ones only). Throws, with the whole output, when the program ends or `timeout` milliseconds pass before.
   */
  async waitForLine(pattern: RegExp, timeout = LINE_TIMEOUT, from = 0): Promise<RegExpExecArray> {
    const deadline = setTimeout(() => this.#wake(), timeout);
    const start = performance.now();
    try {
      for (let next = from; ; ) {
        for (; next < this.lines.length; next += 1) {
          const match = pattern.exec(this.lines[next]!);
          if (match) return match;
        }
        if (this.#over) throw new Error(`${this.#describe()} ended without a line ${pattern}${this.#output()}`);
        if (performance.now() - start >= timeout) {
          throw new Error(`${this.#describe()} wrote no line ${pattern} in ${timeout} ms${this.#output()}`);
        }
        await new Promise<void>((resolve) => this.#waiting.add(resolve));
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  #collect(name: 'stdout' | 'stderr'): void {
    const decoder = new StringDecoder('utf8');
    let rest = '';
    this.#child[name]!.on('data', (chunk: Buffer) => {
      const text = decoder.write(chunk);
      this.#written[name] += text;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      this.lines.push(...lines);
      this.#wake();
    });
    this.#child[name]!.on('end', () => {
      if (rest !== '') this.lines.push(rest);
      this.#wake();
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #describe(): string {
    const [first, second, third, , ...rest] = this.argv;
    const inside = first === 'ip' && second === 'netns' && third === 'exec';
    return `"${(inside ? rest : this.argv).join(' ')}"`;
  }

  #output(): string {
    return this.lines.length === 0 ? '; it wrote nothing' : `:\n${this.lines.join('\n')}`;
  }
}
