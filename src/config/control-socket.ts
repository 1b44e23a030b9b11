/**
 * Where the daemon of a postern.toml listens, also when much else in the file is wrong: whoever wants to know what the daemon
 * says to a broken file has to reach it.
 */

import * as v from 'valibot';
import { directoryOf, lowerSettings } from './postern-lower.ts';
import { posternSchema } from './postern-schema.ts';
import { readToml } from './toml-syntax.ts';

/** The path of the socket; undefined when the sections that say it cannot be read. */
export function controlSocketOf(text: string, file: string): string | undefined {
  const values = readToml(text).values ?? readRoughly(text);
  const sections = Object.fromEntries(
    ['state', 'control'].flatMap((key) => (key in values ? [[key, values[key]]] : [])),
  );
  const reading = v.safeParse(posternSchema, sections);
  return reading.success ? lowerSettings(reading.output, directoryOf(file)).control.socket : undefined;
}

/** The two keys of a file that is no TOML, as far as they stand on lines of their own. */
function readRoughly(text: string): Readonly<Record<string, Record<string, string>>> {
  const found: Record<string, Record<string, string>> = {};
  let section = '';
  for (const line of text.split('\n')) {
    const [, header] = /^\s*\[\s*([^[\]]*?)\s*\]/.exec(line) ?? [];
    if (header !== undefined) section = header;
    const [, key = '', value = ''] = /^\s*(dir|socket)\s*=\s*["']([^"'\\]*)["']/.exec(line) ?? [];
    if ((section === 'state' && key === 'dir') || (section === 'control' && key === 'socket')) {
      found[section] = { [key]: value };
    }
  }
  return found;
}
