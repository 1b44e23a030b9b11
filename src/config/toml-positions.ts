/**
 * Where the keys of a TOML text stand: smol-toml gives values without places, so this walks the text a second time, looking at
 * nothing but keys and brackets. It is meant for text that the parser took; on any other it still ends, with places for what it
 * could follow. Lines are counted from 1.
 */

import { quote } from './problem.ts';

/** From the root: keys of tables and places in lists. */
export type Path = readonly (string | number)[];

export interface Place {
  readonly path: Path;
  readonly line: number;
}

/** A path as TOML writes it. */
export function printPath(path: Path): string {
  return path
    .filter((part) => typeof part === 'string')
    .map((part) => (/^[\w-]+$/.test(part) ? part : quote(part)))
    .join('.');
}

export class Positions {
  readonly #lines = new Map<string, number>();
  /** Tables that have a header of their own, whose line counts more than that of a subtable. */
  readonly #headed = new Set<string>();
  #last: Place | undefined;

  /** The line of a key, a header, or an item of a list; of the nearest thing around it when it is not there; 0 in an empty text. */
  lineOf(path: Path): number {
    for (let length = path.length; length > 0; length--) {
      const line = this.#lines.get(JSON.stringify(path.slice(0, length)));
      if (line !== undefined) return line;
    }
    return 0;
  }

  /** The key or header that came last in the text. */
  get last(): Place | undefined {
    return this.#last;
  }

  /** A key with a value, or an item. */
  addValue(path: Path, line: number): void {
    this.#addParents(path, line);
    this.#add(path, line);
    this.#last = { path, line };
  }

  addHeader(path: Path, line: number): void {
    this.#addParents(path, line);
    const key = JSON.stringify(path);
    if (!this.#headed.has(key)) this.#lines.set(key, line);
    this.#headed.add(key);
    this.#last = { path, line };
  }

  #addParents(path: Path, line: number): void {
    for (let length = 1; length < path.length; length++) this.#add(path.slice(0, length), line);
  }

  #add(path: Path, line: number): void {
    const key = JSON.stringify(path);
    if (!this.#lines.has(key)) this.#lines.set(key, line);
  }
}

/** Walks the text once. */
export function locateKeys(text: string): Positions {
  return new Walk(text).document();
}

const MAX_DEPTH = 64;

class Walk {
  readonly #text: string;
  readonly #positions = new Positions();
  readonly #tableArrays = new Map<string, number>();
  #at = 0;
  #line = 1;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Positions {
    let table: Path = [];
    for (;;) {
      this.#skipSpace(true);
      if (this.#at >= this.#text.length) return this.#positions;
      const start = this.#at;
      if (this.#peek() === '[') table = this.#header();
      else this.#pair(table);
      // Text that is no TOML must not hold us up.
      if (this.#at === start) this.#advance();
    }
  }

  #header(): Path {
    const line = this.#line;
    const isArray = this.#text.startsWith('[[', this.#at);
    this.#at += isArray ? 2 : 1;
    const keys = this.#keys();
    while (this.#peek() === ']') this.#at++;
    let path: Path = [];
    for (const [index, key] of keys.entries()) {
      path = [...path, key];
      const name = JSON.stringify(path);
      const count = this.#tableArrays.get(name);
      if (isArray && index === keys.length - 1) {
        this.#tableArrays.set(name, (count ?? 0) + 1);
        this.#positions.addHeader(path, line);
        path = [...path, count ?? 0];
      } else if (count !== undefined) path = [...path, count - 1];
    }
    if (path.length > 0) this.#positions.addHeader(path, line);
    return path;
  }

  #pair(table: Path): void {
    const line = this.#line;
    const path = [...table, ...this.#keys()];
    if (path.length > table.length) this.#positions.addValue(path, line);
    if (this.#peek() !== '=') return;
    this.#at++;
    this.#skipSpace(false);
    this.#value(path);
  }

  /** A dotted key, and the blanks after it. */
  #keys(): readonly string[] {
    const keys: string[] = [];
    for (;;) {
      this.#skipSpace(false);
      const quoted = this.#peek() === '"' || this.#peek() === "'";
      const key = quoted ? this.#string() : (/[\w-]*/y.exec(this.#rest(this.#at)) ?? [''])[0];
      if (!quoted) {
        if (key === '') return keys;
        this.#at += key.length;
      }
      keys.push(key);
      this.#skipSpace(false);
      if (this.#peek() !== '.') return keys;
      this.#at++;
    }
  }

  #value(path: Path): void {
    if (this.#depth > MAX_DEPTH) return;
    this.#depth++;
    const first = this.#peek();
    if (first === '"' || first === "'") this.#string();
    else if (first === '[') this.#list(path);
    else if (first === '{') this.#inlineTable(path);
    else while (this.#at < this.#text.length && !/[,\]}#\n]/.test(this.#peek())) this.#at++;
    this.#depth--;
  }

  #list(path: Path): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skipSpace(true);
      if (this.#at >= this.#text.length) return;
      if (this.#peek() === ']') {
        this.#at++;
        return;
      }
      const item = [...path, index];
      this.#positions.addValue(item, this.#line);
      const start = this.#at;
      this.#value(item);
      this.#skipSpace(true);
      if (this.#peek() === ',') this.#at++;
      if (this.#at === start) return;
    }
  }

  #inlineTable(path: Path): void {
    this.#at++;
    for (;;) {
      this.#skipSpace(true);
      if (this.#at >= this.#text.length) return;
      if (this.#peek() === '}') {
        this.#at++;
        return;
      }
      const start = this.#at;
      this.#pair(path);
      this.#skipSpace(true);
      if (this.#peek() === ',') this.#at++;
      if (this.#at === start) return;
    }
  }

  /** Any of the four kinds of strings. As a key, where escapes are rare, JSON reads them. */
  #string(): string {
    const mark = this.#peek();
    const long = mark.repeat(3);
    const isLong = this.#text.startsWith(long, this.#at);
    const start = this.#at + (isLong ? 3 : 1);
    this.#at = start;
    while (this.#at < this.#text.length) {
      if (mark === '"' && this.#peek() === '\\') this.#advance();
      else if (isLong ? this.#text.startsWith(long, this.#at) : this.#peek() === mark) break;
      else if (!isLong && this.#peek() === '\n') break;
      this.#advance();
    }
    const content = this.#text.slice(start, this.#at);
    if (this.#peek() === mark) this.#at += isLong ? 3 : 1;
    // A long string may end in one or two quotes of its own.
    while (isLong && this.#peek() === mark) this.#at++;
    if (mark === "'" || !content.includes('\\')) return content;
    try {
      return String(JSON.parse(`"${content}"`));
    } catch {
      return content;
    }
  }

  #skipSpace(lines: boolean): void {
    while (this.#at < this.#text.length) {
      const c = this.#peek();
      if (c === '#' && lines) while (this.#at < this.#text.length && this.#peek() !== '\n') this.#at++;
      else if (c === ' ' || c === '\t' || c === '\r' || c === '\ufeff' || (lines && c === '\n')) this.#advance();
      else return;
    }
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #rest(from: number): string {
    return this.#text.slice(from, from + 256);
  }

  #advance(): void {
    if (this.#peek() === '\n') this.#line++;
    this.#at++;
  }
}
