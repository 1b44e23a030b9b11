/**
 * Lines that are neither a section, a comment nor a directive that knockd knows, and what their author probably meant. Lines
 * and keys are byte strings as written.
 */

import { DOOR_KEYS, OPTION_KEYS, USE_SYSLOG } from './knockd-keys.ts';
import { fromBytes, type KnockdLine, trimSpace, upperCase } from './knockd-lines.ts';
import { type Finding, finding, quote } from './problem.ts';
import { nearestKey } from './spelling.ts';

export type SectionKind = 'options' | 'door';

const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

/** A line that was meant as a section header, and the name it was meant to have ('' when it can't be told). */
export function lintBadSection(line: KnockdLine): { readonly name: string; readonly about: Finding } | undefined {
  const text = trimSpace(line.text.startsWith(BYTE_ORDER_MARK) ? line.text.slice(BYTE_ORDER_MARK.length) : line.text);
  if (!text.startsWith('[')) return undefined;
  const close = text.indexOf(']');
  const name = close === -1 ? trimSpace(text.slice(1)) : text.slice(1, close);
  if (text !== line.text) {
    const message = 'Cannot read the section: a byte order mark stands before it';
    return { name, about: finding('error', message, 'Save the file as UTF-8 without a byte order mark') };
  }
  if (close === -1) {
    const message = `Cannot read the section ${quote(fromBytes(text))}: it does not end with "]"`;
    return { name, about: finding('error', message, `Write ${quote(`[${fromBytes(name)}]`)}`) };
  }
  const message = `Cannot read the section ${quote(`[${fromBytes(name)}]`)}: text follows the "]"`;
  return { name, about: finding('error', message, 'Put the text on a line of its own, a comment with "#" first') };
}

/** A line before the first section. */
export function lintStrayLine(text: string): Finding {
  const message = `Cannot use ${quote(fromBytes(text))} before the first section`;
  if (text.startsWith(BYTE_ORDER_MARK)) {
    return finding('error', message, 'Save the file as UTF-8 without a byte order mark');
  }
  if (isForeignComment(text)) return finding('error', message, 'Begin a comment with "#"');
  return finding('error', message, 'Write a section before it: "[options]", or the name of a door such as "[openSSH]"');
}

/** A line that is no directive at all. */
export function lintBadLine(line: KnockdLine): Finding | undefined {
  const shown = quote(fromBytes(line.text));
  if (line.continued) {
    return finding('error', `Cannot read the rest of a long line: ${shown}`, 'Keep every line within 4095 bytes');
  }
  if (isForeignComment(line.text)) return finding('error', `Cannot read the line ${shown}`, 'Begin a comment with "#"');
  return undefined;
}

function isForeignComment(text: string): boolean {
  return text.startsWith(';') || text.startsWith('//');
}

/** A line without `=`. */
export function lintBare(written: string, section: SectionKind): Finding {
  const own = ownKeys(section);
  const key = upperCase(written);
  const name = own.get(key);
  if (name) return finding('error', `${name} has no value`, `Write "${name} = value"`);
  const message = `Cannot read the line ${quote(fromBytes(written))}: it has no "="`;
  const first = own.get(/^\S+/.exec(key)?.[0] ?? '');
  if (first) return finding('error', message, `Write "=" between ${first} and its value`);
  if (/^USESYSLOG\b/.test(key)) return finding('error', message, 'Write "UseSyslog" alone, without anything after it');
  if (nearestKey(key, [USE_SYSLOG])) return finding('error', message, 'Did you mean "UseSyslog"?');
  return finding('error', message, 'Write "key = value"; a line cannot go on in the next one');
}

/** A directive whose key this section does not have. */
export function lintUnknownKey(written: string, section: SectionKind): Finding {
  const [own, others] = section === 'options' ? [OPTION_KEYS, DOOR_KEYS] : [DOOR_KEYS, OPTION_KEYS];
  const place = section === 'options' ? 'the section of a door' : 'the section "[options]"';
  const key = upperCase(written);
  if (key === USE_SYSLOG) {
    return finding('error', 'UseSyslog takes no value', 'Write "UseSyslog" alone; leave the line out for no syslog');
  }
  const other = others.get(key);
  if (other) {
    const message = `${other} cannot stand in ${section === 'options' ? '[options]' : 'a door'}`;
    return finding('error', message, `Move it into ${place}`);
  }
  if (key === '') return finding('error', 'Cannot read a line with nothing before "="', 'Write "key = value"');
  const message = `Cannot use the key ${quote(fromBytes(written))}`;
  const near = own.get(nearestKey(key, own.keys()) ?? '');
  if (near) return finding('error', message, `Did you mean "${near}"?`);
  const far = others.get(nearestKey(key, others.keys()) ?? '');
  if (far) return finding('error', message, `Did you mean "${far}" in ${place}?`);
  return finding('error', message, `The keys here are ${[...new Set(own.values())].join(', ')}`);
}

function ownKeys(section: SectionKind): ReadonlyMap<string, string> {
  return section === 'options' ? OPTION_KEYS : DOOR_KEYS;
}
