/** A terminal that writes down what it is shown; without a size it is a pipe. */

import type { Terminal } from '../../src/cli/terminal.ts';

export class FakeTerminal implements Terminal {
  out = '';
  err = '';
  readonly stdout: Terminal['stdout'] & { columns?: number; rows?: number };
  readonly stderr: Terminal['stderr'];
  readonly environment: Record<string, string | undefined>;
  readonly #interrupts: (() => void)[] = [];
  readonly #resizes = new Set<() => void>();
  readonly #waiting = new Set<() => void>();
  #pressed: ((key: string) => void) | undefined;

  constructor(
    size: { readonly columns: number; readonly rows: number } | undefined = undefined,
    environment: Record<string, string | undefined> = {},
  ) {
    this.environment = environment;
    this.stdout = {
      write: (text: string) => {
        this.out += text;
        for (const wake of this.#waiting) wake();
      },
      ...(size && { isTTY: true, ...size }),
    };
    this.stderr = {
      write: (text: string) => {
        this.err += text;
      },
    };
  }

  readonly keyboard = {
    listen: (pressed: (key: string) => void) => {
      this.#pressed = pressed;
      return () => {
        this.#pressed = undefined;
      };
    },
  };

  readonly wallNow = (): number => Date.UTC(2030, 0, 31, 12, 1);

  readonly onInterrupt = (call: () => void): void => void this.#interrupts.push(call);

  readonly onResize = (call: () => void): (() => void) => {
    this.#resizes.add(call);
    return () => void this.#resizes.delete(call);
  };

  /** Is the keyboard still ours? */
  get listening(): boolean {
    return this.#pressed !== undefined;
  }

  press(key: string): void {
    this.#pressed?.(key);
  }

  interrupt(): void {
    for (const call of this.#interrupts) call();
  }

  resize(columns: number, rows: number): void {
    this.stdout.columns = columns;
    this.stdout.rows = rows;
    for (const call of this.#resizes) call();
  }

  /** Until what was written after `from` matches. */
  async waitFor(pattern: RegExp, from = 0): Promise<void> {
    while (!pattern.test(this.out.slice(from))) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }
}
