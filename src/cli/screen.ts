/** A terminal's whole window: entered, drawn line by line where something changed, and given back as it was. */

import type { Output } from './terminal.ts';

const ENTER = '\x1b[?1049h\x1b[?25l\x1b[2J';
const LEAVE = '\x1b[?25h\x1b[?1049l';
/** Terminals that know it show what is between at once; others ignore it. */
const TOGETHER = ['\x1b[?2026h', '\x1b[?2026l'] as const;

export class Screen {
  readonly #output: Output;
  #shown: readonly string[] = [];

  constructor(output: Output) {
    this.#output = output;
    output.write(ENTER);
  }

  /** Writes only the lines that are not there yet, so nothing flickers. */
  show(lines: readonly string[]): void {
    let text = '';
    for (const [index, line] of lines.entries()) {
      if (line !== this.#shown[index]) text += `\x1b[${index + 1};1H${line}\x1b[K`;
    }
    this.#shown = lines;
    if (text !== '') this.#output.write(`${TOGETHER[0]}${text}${TOGETHER[1]}`);
  }

  /** The window has another size: everything is drawn anew. */
  clear(): void {
    this.#shown = [];
    this.#output.write('\x1b[2J');
  }

  leave(): void {
    this.#output.write(LEAVE);
  }
}
