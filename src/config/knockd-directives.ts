/**
 * The directives of a door section, one at a time: what knockd says and keeps, and what we say about the value. `Target` is
 * judged with the whole door, because only its last value reaches libpcap.
 */

import { printSteps } from '../core/door.ts';
import type { DoorKey } from './knockd-keys.ts';
import { fromBytes, type KnockdLine } from './knockd-lines.ts';
import type { DoorDraft } from './knockd-lower.ts';
import { readOneTimeFile } from './knockd-one-time.ts';
import type { Transcript } from './knockd-transcript.ts';
import { lintFlags, lintName, lintSeconds, lintSequence, lintText } from './knockd-value-lint.ts';
import { atoi, describeFault, mentionFlag, readFlags, readSequence } from './knockd-values.ts';
import { finding } from './problem.ts';

export interface Directive {
  readonly line: KnockdLine;
  readonly key: DoorKey;
  /** A trimmed byte string. */
  readonly value: string;
}

/** Applies a directive to its door. */
export function setDirective(
  said: Transcript,
  readFile: (path: string) => Uint8Array,
  door: DoorDraft,
  { line: { line, counted }, key, value }: Directive,
): void {
  const before = door.settings.get(key);
  if (before && key !== 'TCPFlags') {
    const message = `${key} is there twice in this door: line ${before.line} is forgotten`;
    said.report(line, finding('warning', message, 'Remove one of the two'));
  }
  door.settings.set(key, { value, line });
  for (const about of lintText(key, value)) said.report(line, about);
  if (key === 'Sequence') setSequence(said, door, line, value);
  else if (key === 'One_Time_Sequences') setOneTime(said, readFile, door, line, value);
  else if (key === 'TCPFlags') setFlags(said, door, { line, counted }, value);
  else if (key === 'Seq_Timeout' || key === 'Cmd_Timeout') {
    const seconds = atoi(value);
    for (const about of lintSeconds(key, value, seconds)) said.report(line, about);
    said.debug(`config: ${door.name}: ${key.toLowerCase()}: ${seconds}`);
  } else said.debug(`config: ${door.name}: ${key.toLowerCase()}: ${fromBytes(value)}`);
}

function setSequence(said: Transcript, door: DoorDraft, line: number, value: string): void {
  const { steps, items, fault } = readSequence(value);
  for (const about of lintSequence({ steps, items, ...(fault && { fault }) })) said.report(line, about);
  if (fault) {
    const words = `section ${door.name}: ${fromBytes(describeFault(fault, items))}`;
    said.stop(`config: ${words}`, fault.type === 'port' ? undefined : `error: ${words}`);
    return;
  }
  door.steps = steps;
  said.debug(`config: ${door.name}: sequence: ${printSteps(steps)}`);
  if (!door.oneTime) return;
  door.oneTime = { path: door.oneTime.path };
  const message = 'A Sequence after One_Time_Sequences serves the first knock after every start, so it can be replayed';
  said.report(line, finding('warning', message, 'Remove one of the two'));
}

function setOneTime(
  said: Transcript,
  readFile: (path: string) => Uint8Array,
  door: DoorDraft,
  line: number,
  value: string,
): void {
  const path = fromBytes(value);
  for (const about of lintName('One_Time_Sequences', value)) said.report(line, about);
  const current = readOneTimeFile(said, readFile, { door: door.name, path, line });
  if (!current) return;
  door.steps = current.steps;
  door.oneTime = { path, current };
}

function setFlags(
  said: Transcript,
  door: DoorDraft,
  { line, counted }: Pick<KnockdLine, 'line' | 'counted'>,
  value: string,
): void {
  const items = readFlags(value);
  for (const about of lintFlags(items)) said.report(line, about);
  for (const { text, bit, negated } of items) {
    if (bit === undefined) {
      said.stop(`config: line ${counted}: unrecognized flag "${fromBytes(text)}"`);
      return;
    }
    said.debug(`config: tcp flag: ${text}`);
    door.tcpFlags = mentionFlag(door.tcpFlags, bit, negated);
  }
}
