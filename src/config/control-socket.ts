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
  const { values } = readToml(text);
  if (!values) return undefined;
  const sections = Object.fromEntries(
    ['state', 'control'].flatMap((key) => (key in values ? [[key, values[key]]] : [])),
  );
  const reading = v.safeParse(posternSchema, sections);
  return reading.success ? lowerSettings(reading.output, directoryOf(file)).control.socket : undefined;
}
