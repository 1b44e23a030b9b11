/**
 * What `postern-schema.ts` is made of, on top of valibot: texts with a reader of their own, tables, and what people read about a
 * key. `schema-shape.ts` gets the latter out again. A complaint is one string for valibot: the message, a newline, the hint.
 */

import * as v from 'valibot';
import { parseDuration, printDuration } from './quantity.ts';
import { type Fault, fault, type Reading } from './reading.ts';

/** What is known of a part besides its type. */
export interface PartMetadata {
  /** What is wanted, after "Write": `a duration such as "30s"`. */
  readonly wanted?: string;
  /** For editors, in ECMAScript's notation; it takes whatever the reader takes. */
  readonly pattern?: string;
  /** What else a value has to be, for the reference. */
  readonly range?: string;
  /** The default in words, where it is not one value. */
  readonly fallback?: string;
  /** Other words that people know the key by. */
  readonly aliases?: readonly string[];
  /** One of these keys has to be there; the first is what a hint tells to write. */
  readonly oneOf?: readonly string[];
  /** Values that show how it is written. */
  readonly examples?: readonly unknown[];
  /** Reads a text, to tell what is wrong with a number in its place. */
  readonly read?: (text: string) => Reading<unknown>;
}

/** A key: its value, what it says in one or two sentences, and what else is known. */
export function key<const T extends v.GenericSchema>(value: T, description: string, metadata: PartMetadata = {}) {
  return v.pipe(value, v.description(description), v.metadata({ ...metadata }));
}

/** A text that `read` turns into a value. */
export function text<T>(read: (text: string) => Reading<T>, metadata: PartMetadata) {
  return v.pipe(
    v.string(),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      const reading = read(dataset.value);
      if ('value' in reading) return reading.value;
      addIssue({ message: complaint(reading) });
      return NEVER;
    }),
    v.metadata({ ...metadata, read }),
  );
}

/** A table of TOML with these keys and no others; unknown ones are looked for by `schema-shape.ts`, all at once. */
export function table<const T extends v.ObjectEntries>(entries: T) {
  return v.pipe(v.custom<v.InferInput<v.ObjectSchema<T, undefined>>>(isTable), v.object(entries));
}

/** A table that may be left out, when each of its keys may. */
export function section<const T extends v.ObjectEntries>(entries: T, description: string) {
  return v.optional(
    v.pipe(table(entries), v.description(description)),
    {} as v.InferInput<v.ObjectSchema<T, undefined>>,
  );
}

export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** A reader of durations between two, both included. */
export function durationBetween(least: string, most: string): (text: string) => Reading<number> {
  const [low, high] = [inMilliseconds(least), inMilliseconds(most)];
  return (text) => {
    const reading = parseDuration(text);
    if (!('value' in reading)) return reading;
    if (reading.value < low)
      return fault(
        `Cannot use a duration of ${printDuration(reading.value)}: it is too short`,
        `The least is "${least}"`,
      );
    if (reading.value > high)
      return fault(`Cannot use a duration of ${printDuration(reading.value)}: it is too long`, `The most is "${most}"`);
    return reading;
  };
}

function inMilliseconds(text: string): number {
  const reading = parseDuration(text);
  if (!('value' in reading)) throw new Error(reading.message);
  return reading.value;
}

export function complaint({ message, hint }: Fault): string {
  return `${message}\n${hint}`;
}

/** The other way; undefined for what is no complaint of ours. */
export function splitComplaint(text: string): Fault | undefined {
  const newline = text.indexOf('\n');
  return newline === -1 ? undefined : { message: text.slice(0, newline), hint: text.slice(newline + 1) };
}
