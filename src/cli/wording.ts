/** How the commands write things for people: aligned columns, times, and text from elsewhere that is harmless to a terminal. */

import { stripVTControlCharacters } from 'node:util';

const DAY = 86_400_000;

/** Rows of cells as lines, columns two blanks apart, without blanks at the end. Cells may be painted. */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, widthOf(cell));
  }
  return rows.map((row) => {
    const cells = row.map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - widthOf(cell)));
    return cells.join('  ').trimEnd();
  });
}

export function widthOf(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** An escape sequence of `styleText`, or one character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
const PIECE = /\x1b\[[0-9;]*m|./gsu;

/** The text as far as it fits into so many columns, with an ellipsis where it does not; what is painted stays so. */
export function cutTo(width: number, text: string): string {
  let left = widthOf(text) <= width ? Number.POSITIVE_INFINITY : width - 1;
  return text.replace(PIECE, (piece) => {
    if (piece.startsWith('\x1b')) return piece;
    left--;
    return left >= 0 ? piece : left === -1 && width > 0 ? '…' : '';
  });
}

/** Control characters as `\xNN`: nothing that came from a file, a hook or the wire moves a cursor. */
export function harmless(text: string): string {
  return text.replace(/\p{C}/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** A source, as a network where its grant or ban is for one. */
export function placeText({ source, prefix }: { readonly source: string; readonly prefix?: number }): string {
  return harmless(prefix === undefined ? source : `${source}/${prefix}`);
}

/** What is left of a time, in two units: `24s`, `1m 05s`, `3d 04h`; null is without end. */
export function timeLeft(milliseconds: number | null): string {
  if (milliseconds === null) return 'no limit';
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const two = (number: number): string => String(Math.floor(number)).padStart(2, '0');
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${two((seconds % 86_400) / 3600)}h`;
}

/** `2030-01-31 12:00:01` where the machine is. */
export function localTime(moment: number): string {
  const at = new Date(moment);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clockTime(moment)}`;
}

/** `12:00:01` where the machine is. */
export function clockTime(moment: number): string {
  const at = new Date(moment);
  return [at.getHours(), at.getMinutes(), at.getSeconds()].map((value) => String(value).padStart(2, '0')).join(':');
}

/** Does the time of day alone say when it was? */
export function isRecent(moment: number, wallNow: number): boolean {
  return Math.abs(wallNow - moment) < DAY;
}

export function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}
