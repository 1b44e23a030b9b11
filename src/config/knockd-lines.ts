/**
 * A file as knockd reads it: `fgets` into 4096 bytes, everything from a NUL on forgotten, white space trimmed at both ends.
 *
 * knockd works on bytes, so this reader does too: a "byte string" holds one byte per character (Latin-1), which keeps
 * every length and cut exact. `fromBytes` turns one into real text where it leaves for a person or a program. A line longer
 * than 4095 bytes continues as a new line; knockd counts that one too, an editor does not.
 */

import { Buffer, isUtf8 } from 'node:buffer';

const LONGEST_READ = 4095;

export interface KnockdLine {
  /** Trimmed byte string; empty for a blank line. */
  readonly text: string;
  /** Where it begins in the file, in bytes. */
  readonly offset: number;
  /** The line as an editor counts, from 1. */
  readonly line: number;
  /** The line as knockd counts: one per read. */
  readonly counted: number;
  /** The rest of a line that did not fit into one read. */
  readonly continued: boolean;
  /** A NUL byte hid the end of it. */
  readonly hidden: boolean;
}

/** A byte string of text or of a file's bytes. */
export function toBytes(text: string | Uint8Array): string {
  const bytes =
    typeof text === 'string' ? Buffer.from(text, 'utf8') : Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  return bytes.toString('latin1');
}

/** The text of a byte string; a byte that is not UTF-8 becomes U+FFFD. */
export function fromBytes(bytes: string): string {
  return ASCII.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Can the byte string leave as text without losing a byte? */
export function isText(bytes: string): boolean {
  return ASCII.test(bytes) || isUtf8(Buffer.from(bytes, 'latin1'));
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII has them
const ASCII = /^[\x00-\x7f]*$/;

/** Trims what C's `isspace` calls white space, which is less than JavaScript's `trim`. */
export function trimSpace(bytes: string): string {
  let start = 0;
  let end = bytes.length;
  while (start < end && isSpace(bytes.charCodeAt(start))) start++;
  while (end > start && isSpace(bytes.charCodeAt(end - 1))) end--;
  return bytes.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/** Upper case for ASCII alone, as `toupper` in the C locale. */
export function upperCase(bytes: string): string {
  return bytes.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

/** The reads of a file in order, blank ones and comments included. */
export function knockdLines(bytes: string): KnockdLine[] {
  const lines: KnockdLine[] = [];
  let offset = 0;
  let line = 1;
  let continued = false;
  while (offset < bytes.length) {
    const newline = bytes.indexOf('\n', offset);
    const rest = newline === -1 ? bytes.length : newline + 1;
    const end = Math.min(rest, offset + LONGEST_READ);
    const read = bytes.slice(offset, end);
    const nul = read.indexOf('\0');
    const text = trimSpace(nul === -1 ? read : read.slice(0, nul));
    lines.push({ text, offset, line, counted: lines.length + 1, continued, hidden: nul !== -1 });
    continued = !read.endsWith('\n');
    if (!continued) line++;
    offset = end;
  }
  return lines;
}
