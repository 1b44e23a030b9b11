/**
 * What the watcher writes to its standard error, as lines for the log. The watcher may be captured: only printable ASCII comes
 * through, so many lines at once and so many a second, and of each watcher so many bytes; what it writes after that finds nobody.
 */

import type { Readable } from 'node:stream';
import { Allowance } from '../core/allowance.ts';

export interface ComplaintsPorts {
  readonly say: (line: string) => void;
  readonly monotonicNow: () => number;
}

const LINES = { perSecond: 2, burst: 30 };
const LONGEST_LINE = 500;
const MOST_BYTES = 64 * 1024;

export class Complaints {
  readonly #ports: ComplaintsPorts;
  readonly #lines = new Allowance(LINES);

  constructor(ports: ComplaintsPorts) {
    this.#ports = ports;
  }

  /** Reads a watcher's standard error to its end; a watcher that could not be started has none. */
  read(stream: Readable | undefined): void {
    let rest = '';
    let taken = 0;
    stream?.setEncoding('latin1');
    stream?.on('error', () => {}); // Its end is told by the exit.
    stream?.on('data', (text: string) => {
      taken += text.length;
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(0, LONGEST_LINE);
      for (const line of lines) this.#say(line);
      if (taken > MOST_BYTES) stream.destroy();
    });
    stream?.on('close', () => this.#say(rest));
  }

  #say(line: string): void {
    const harmless = line.replace(/[^\x20-\x7e]/g, '').slice(0, LONGEST_LINE);
    if (harmless.trim() !== '' && this.#lines.take(this.#ports.monotonicNow())) this.#ports.say(harmless);
  }
}
