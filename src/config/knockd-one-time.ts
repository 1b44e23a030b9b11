/** One_Time_Sequences while the configuration is read: what knockd says about the file, what we say, and the line in force. */

import { printSteps } from '../core/door.ts';
import { fromBytes } from './knockd-lines.ts';
import type { Transcript } from './knockd-transcript.ts';
import { lintSequence } from './knockd-value-lint.ts';
import { describeFault, readSequence } from './knockd-values.ts';
import { type OneTimeEntry, type OneTimeList, readOneTime } from './one-time.ts';
import { finding, quote } from './problem.ts';
import { lintScan } from './sequence-lint.ts';

export interface OneTimeDirective {
  readonly door: string;
  readonly path: string;
  readonly line: number;
}

/** Reads the file that a door names; undefined when knockd would stop, which `said` then knows. */
export function readOneTimeFile(
  said: Transcript,
  readFile: (path: string) => Uint8Array,
  { door, path, line }: OneTimeDirective,
): OneTimeEntry | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // As perror(3), which leaves out an empty name.
    said.stop(path === '' ? reason : `${path}: ${reason}`);
    const message = `Cannot read the one-time file ${quote(path)}: ${reason}`;
    said.report(line, finding('error', message, 'Create the file with one sequence per line, or correct the path'));
    return undefined;
  }
  said.debug(`config: ${door}: one time sequences file: ${path}`);
  const list = readOneTime(bytes);
  lintOneTime(said, path, list);
  const current = list.entries[0];
  for (const { fault, items, line: at } of list.rejects) {
    // knockd reads no further than the line in force.
    if (current && at > current.line) break;
    const words = `section ${door}: ${fromBytes(describeFault(fault, items))}`;
    said.complain(`config: ${words}`, fault.type === 'port' ? undefined : `error: ${words}`);
  }
  if (!current) {
    const words = `no more sequences left in the one time sequences file for door ${door} --> disabling the door`;
    said.complain(words, words);
    said.debug(`config: no more sequences left in the one time sequences file ${path}`);
    said.end();
    const message = `The one-time file ${quote(path)} has no sequence left`;
    said.report(line, finding('error', message, 'Add a line with a sequence, such as " 7000,8000,9000"'));
    return undefined;
  }
  const steps = printSteps(current.steps);
  said.debug(`new sequence for door ${door}: ${steps}`);
  said.debug(`config: ${door}: sequence: ${steps}`);
  return current;
}

function lintOneTime(said: Transcript, path: string, list: OneTimeList): void {
  for (const { line, fault, items } of list.rejects) {
    const errors = lintSequence({ items, steps: [], fault }).filter((about) => about.severity === 'error');
    // knockd skips a malformed line of this file, so nothing about it stops the start.
    for (const about of errors) said.report(line, { ...about, severity: 'warning' }, path);
  }
  const seen = new Map<string, number>();
  for (const { line, steps, text } of list.entries) {
    for (const about of lintSequence(readSequence(text))) said.report(line, about, path);
    const key = printSteps(steps);
    const first = seen.get(key);
    // The line in force is looked at with its door.
    if (first === undefined && seen.size > 0) for (const about of lintScan(steps)) said.report(line, about, path);
    if (first === undefined) seen.set(key, line);
    else {
      const message = `This line repeats line ${first}: whoever saw that knock can replay it`;
      said.report(line, finding('warning', message, 'Remove the line, or write another sequence'), path);
    }
  }
}
