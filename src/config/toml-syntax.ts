/**
 * TOML text to values. The parser stops at the first slip; here the line is mended as its author probably meant it (`30s` without
 * quotes, a header without its bracket) and read again, so that one slip makes one problem and the next one is found too. What
 * cannot be mended ends the reading.
 */

import { parse, TomlError } from 'smol-toml';
import { type Finding, finding, quote } from './problem.ts';
import { shown } from './reading.ts';
import { locateKeys, type Path, printPath } from './toml-positions.ts';

export interface LineFinding {
  readonly line: number;
  readonly about: Finding;
}

export interface TomlReading {
  /** The text with its slips mended: what `values` came from. */
  readonly text: string;
  /** Absent when a slip could not be mended. */
  readonly values?: Readonly<Record<string, unknown>>;
  /** One error for each slip. */
  readonly findings: readonly LineFinding[];
  /** Keys whose lines could not be used at all: nobody should miss them as well. */
  readonly dropped: readonly Path[];
}

const MAX_SLIPS = 50;
const MAX_DEPTH = 16;

/** Reads TOML 1.0. Never throws. */
export function readToml(text: string): TomlReading {
  const lines = text.split('\n');
  const findings: LineFinding[] = [];
  const dropped: Path[] = [];
  const mended = new Set<number>();
  for (;;) {
    const current = lines.join('\n');
    let error: TomlError;
    try {
      return { text: current, values: parse(current, { maxDepth: MAX_DEPTH }), findings, dropped };
    } catch (thrown) {
      if (!(thrown instanceof TomlError)) throw thrown;
      error = thrown;
    }
    const told = Math.min(error.line, lines.length) - 1;
    const slip = diagnose(lines, told, error);
    const { index = told } = slip;
    findings.push({ line: index + 1, about: slip.about });
    if (slip.mended === undefined || mended.has(index) || findings.length > MAX_SLIPS)
      return { text: current, findings, dropped };
    if (slip.dropped) dropped.push(slip.dropped);
    for (const [offset, line] of slip.mended.entries()) lines[index + offset] = line;
    mended.add(index);
  }
}

interface Slip {
  readonly about: Finding;
  /** The line of the slip, counted from 0, where it is not the one that the parser stopped at. */
  readonly index?: number;
  /** What to read in place of this line and those after it. */
  readonly mended?: readonly string[];
  readonly dropped?: Path;
}

function diagnose(lines: readonly string[], index: number, error: TomlError): Slip {
  const line = (lines[index] ?? '').replace(/\r$/, '');
  const reason = reasonOf(error);
  if (reason.startsWith('trying to redefine')) return diagnoseRepeat(lines, index, error.column);
  if (reason.includes('losslessly')) {
    return { about: finding('error', 'Cannot use a number of that size', 'Write a smaller number') };
  }
  const open = reason.startsWith('expected comma') ? diagnoseOpenList(lines, index) : undefined;
  if (open) return open;
  const header = /^\s*\[([^\][]*)\]*\s*(#.*)?$/.exec(line);
  const repaired = header ? mendHeader(header[1] ?? '') : mendPair(line);
  if (repaired !== undefined && repaired !== line && parses(repaired)) {
    const what = header ? 'the section' : 'the line';
    const about = finding('error', `Cannot read ${what} ${quote(line.trim())}`, `Write ${shown(repaired.trim())}`);
    return { about, mended: [repaired] };
  }
  const [, key] = /^\s*([\w.-]+)\s*=\s*(?:#.*)?$/.exec(line) ?? [];
  if (key !== undefined) {
    const about = finding('error', `The key ${quote(key)} has no value`, 'Write a value after "=", or remove the line');
    const path = locateKeys([...lines.slice(0, index), `${key} = 0`].join('\n')).last?.path;
    return { about, mended: [''], ...(path && { dropped: path }) };
  }
  return { about: finding('error', `Cannot read TOML here: ${reason}`, hintFor(reason)) };
}

/** The parser misses the "]" of a list where the next key or section begins, or the text ends: it belongs behind what came before. */
function diagnoseOpenList(lines: readonly string[], stop: number): Slip | undefined {
  const isNothing = (line: string): boolean => /^\s*(?:#.*)?$/.test(line);
  const begins = /^\s*(?:[\w.-]+\s*=|\[{1,2}\s*[A-Za-z_])/.test(lines[stop] ?? '');
  if (!begins && !lines.slice(stop).every(isNothing)) return undefined;
  const index = lines.findLastIndex((line, i) => i < stop && !isNothing(line));
  const start = lines.findLastIndex((line, i) => i <= index && /^\s*[\w.-]+\s*=\s*\[/.test(line));
  const [, items = '', rest = ''] =
    /^((?:[^"'#]|"(?:[^"\\]|\\.)*"|'[^']*')*?)(\s*(?:#.*)?)$/.exec(lines[index] ?? '') ?? [];
  const mended = `${items}]${rest}`;
  if (start === -1 || items === '' || !parses([...lines.slice(start, index), mended].join('\n'))) return undefined;
  const key = /[\w.-]+/.exec(lines[start] ?? '')?.[0] ?? '';
  const about = finding('error', `The list ${quote(key)} does not end with "]"`, `Write ${shown(mended.trim())}`);
  return { about, index, mended: [mended] };
}

function reasonOf(error: TomlError): string {
  return error.message.replace(/^Invalid TOML document: /, '').split('\n')[0] ?? '';
}

function parses(line: string): boolean {
  try {
    parse(line, { maxDepth: MAX_DEPTH });
    return true;
  } catch {
    return false;
  }
}

/** A key or a section for the second time: its line is left out, a section with all its keys. */
function diagnoseRepeat(lines: readonly string[], index: number, column: number): Slip {
  const line = lines[index] ?? '';
  const isHeader = /^\s*\[/.test(line);
  // The parser stops where the second of the two keys begins, be it in an inline table: what stands behind it is not looked at.
  const start = isHeader ? 0 : column - 1;
  const textTo = (end: number): string => [...lines.slice(0, index), line.slice(0, end)].join('\n');
  const key = /^(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^="'])*/.exec(line.slice(start))?.[0] ?? '';
  const { path } = locateKeys(textTo(start + (isHeader ? line.length : key.length))).last ?? { path: [] };
  const first = locateKeys(textTo(start)).lineOf(path);
  const name = isHeader ? `[${printPath(path)}]` : String(path.at(-1) ?? '');
  const about = finding(
    'error',
    `${isHeader ? 'The section' : 'The key'} ${quote(name)} is there twice${first === 0 ? '' : first === index + 1 ? ' on this line' : `: line ${first} has the other`}`,
    isHeader ? 'Merge the two sections' : 'Remove one of the two',
  );
  if (!isHeader) return parses(line) ? { about, mended: [''] } : { about };
  const end = lines.findIndex((line, i) => i > index && /^\s*\[/.test(line));
  return { about, mended: lines.slice(index, end === -1 ? lines.length : end).map(() => '') };
}

function mendHeader(name: string): string | undefined {
  const path = name
    .trim()
    .replaceAll(/\s*\.\s*/g, '.')
    .replaceAll(/\s+/g, '_');
  return path === '' ? undefined : `[${path}]`;
}

function mendPair(line: string): string | undefined {
  const [, indent = '', key = '', value = '', comment = ''] =
    /^(\s*)([\w.-]+)\s*[=:]\s*(["']?(?:"[^"]*"|'[^']*'|[^#"'])*?["']?)(\s*(?:#.*)?)$/.exec(line) ?? [];
  // A string of several lines has its end elsewhere.
  if (key === '' || value === '' || /^(?:"""|''')/.test(value)) return undefined;
  return `${indent}${key} = ${mendValue(value.trim())}${comment}`;
}

function mendValue(value: string): string {
  if (parses(`x = ${value}`)) return value;
  if (/^(?:yes|on|true)$/i.test(value)) return 'true';
  if (/^(?:no|off|false)$/i.test(value)) return 'false';
  const list = /^\[(.*?)\]?$/.exec(value)?.[1];
  if (list !== undefined) {
    const items = list.match(/"[^"]*"|'[^']*'|[^\s,"']+/g) ?? [];
    return `[${items.map((item) => mendScalar(item)).join(', ')}]`;
  }
  return mendScalar(value);
}

function mendScalar(value: string): string {
  if (parses(`x = ${value}`)) return value;
  return JSON.stringify(value.replaceAll(/^["']|["']$/g, ''));
}

function hintFor(reason: string): string {
  if (reason.includes('control characters'))
    return 'Close the string with a quote on the same line, or remove the control character';
  if (reason.startsWith('unfinished')) return 'Close what is opened here: a quote, "]" or "}"';
  if (reason.includes('escape')) return "Write the text in single quotes: 'a backslash \\ is then only a backslash'";
  if (reason.includes('comma')) return 'Put a comma between two items, and "]" or "}" after the last one';
  if (reason.includes('end-of-line')) return 'Put every key on a line of its own, and a "#" before a comment';
  if (reason.includes('nested')) return 'Write lists and tables side by side';
  return 'Write "key = value", or a section such as "[door.ssh]"; text stands in double quotes';
}
