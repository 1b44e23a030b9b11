/**
 * Asks a person for a line. Who answers with Ctrl-C, Ctrl-D or a terminal that goes away has ended the command, not answered it: that
 * is an `Unanswered`, which `postern` turns into one line and an exit status. So nothing may be half done while a question is open.
 */

import { createInterface } from 'node:readline/promises';

/** Nobody answered; `status` is what the program ends with. */
export class Unanswered extends Error {
  readonly status: 1 | 130;

  constructor(status: 1 | 130) {
    super('Ended at a question');
    this.status = status;
  }
}

export interface Asked {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  /** Are keys to be read one by one? As the output is, when left out. */
  readonly terminal?: boolean;
}

/** The line that was answered; rejects with an `Unanswered`: 130 after Ctrl-C, as of a program that SIGINT ends, else 1. */
export async function askLine(text: string, asked: Asked): Promise<string> {
  const lines = createInterface(asked);
  let status: Unanswered['status'] = 1;
  const ended = new Promise<undefined>((resolve) => lines.once('close', () => resolve(undefined)));
  lines.once('SIGINT', () => {
    status = 130;
    lines.close();
  });
  try {
    const answer = await Promise.race([lines.question(text), ended]);
    if (answer !== undefined) return answer;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ABORT_ERR') throw error;
  } finally {
    lines.close();
  }
  // The cursor is still behind the question.
  asked.output.write('\n');
  throw new Unanswered(status);
}
