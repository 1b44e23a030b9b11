/** What the commands touch of the world: where they write, the time, and being told to stop. A test brings its own. */

import { styleText } from 'node:util';
import { wallNow } from '../platform/clock.ts';
import { askLine } from './question.ts';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface Keyboard {
  /** Calls back for every key, with what the terminal sends for it; the result gives the terminal back. */
  listen(pressed: (key: string) => void): () => void;
}

export interface Terminal {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Absent when the standard input is no terminal. */
  readonly keyboard?: Keyboard;
  /** Asks for a line; absent when there is nobody to ask. Rejects with an `Unanswered` when nobody answers. */
  readonly question?: (text: string) => Promise<string>;
  readonly wallNow: () => number;
  /** Why something could not be written to the standard output, once all is; a reader that went away is no failure. */
  readonly outputFailure?: () => Promise<Error | undefined>;
  /** Calls back when somebody wants the program to end, or nobody reads what it writes. */
  readonly onInterrupt: (call: () => void) => void;
  /** Calls back when the window has another size; the result ends it. */
  readonly onResize: (call: () => void) => () => void;
}

export function thisTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  const gone: (() => void)[] = [];
  let failure: Error | undefined;
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') failure ??= error;
    for (const call of gone) call();
  });
  stderr.on('error', () => {});
  return {
    stdout,
    stderr,
    environment: process.env,
    ...(stdin.isTTY && {
      keyboard: {
        listen: (pressed) => {
          const hear = (chunk: Buffer): void => pressed(chunk.toString());
          stdin.setRawMode(true);
          stdin.on('data', hear);
          return () => {
            stdin.off('data', hear);
            stdin.setRawMode(false);
            stdin.pause();
          };
        },
      },
    }),
    ...(stdin.isTTY && {
      // What is redirected is the result, not the question.
      question: (text: string) => askLine(text, { input: stdin, output: stdout.isTTY ? stdout : stderr }),
    }),
    outputFailure: () =>
      new Promise((resolve) => {
        // The event of an error comes after the answer to the write that met it.
        stdout.write('', () => setImmediate(() => resolve(failure)));
      }),
    wallNow,
    onInterrupt: (call) => {
      gone.push(call);
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, call);
    },
    onResize: (call) => {
      stdout.on('resize', call);
      return () => void stdout.off('resize', call);
    },
  };
}

export type Format = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
export type Paint = (format: Format, text: string) => string;

/** Colour for a terminal, unless it or NO_COLOR (no-color.org) does not want it. */
export function paintFor(output: Output, environment: Terminal['environment']): Paint {
  const plain = !output.isTTY || (environment.NO_COLOR ?? '') !== '' || environment.TERM === 'dumb';
  return plain ? (_, text) => text : (format, text) => styleText(format, text, { validateStream: false });
}
