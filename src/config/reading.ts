/** What a reader of one value makes of its text: the value, or what is wrong with it and what to write instead. */

import { quote } from './problem.ts';

export interface Fault {
  readonly message: string;
  readonly hint: string;
}

export type Reading<T> = { readonly value: T } | Fault;

export function fault(message: string, hint: string): Fault {
  return { message, hint };
}

/** Text that a hint tells to write: as `quote` shows it, without the quotes around. */
export function shown(text: string): string {
  return quote(text).slice(1, -1);
}

/** A value as TOML: strings, numbers, booleans, and lists of them. Lone surrogates, which TOML cannot hold, become U+FFFD. */
export function printToml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printToml).join(', ')}]`;
  if (typeof value === 'string') return JSON.stringify(value.toWellFormed()).replaceAll('\x7f', '\\u007f');
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, item]) => `${key} = ${printToml(item)}`);
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
  }
  return String(value);
}
