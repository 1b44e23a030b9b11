/**
 * Where the daemon of a postern.toml listens and keeps its state, also when much else in the file is wrong: whoever wants to know what
 * the daemon says to a broken file has to reach it, and what a dead one has left is looked for all the same.
 */

import * as v from 'valibot';
import { directoryOf, lowerSettings } from './postern-lower.ts';
import { posternSchema } from './postern-schema.ts';
import { readToml } from './toml-syntax.ts';

export interface Whereabouts {
  readonly socket: string;
  /** The folder of its state. */
  readonly state: string;
  /** What it keeps IPv6 sources by; the usual where the file's own word for it cannot be read. */
  readonly ipv6Prefix: number;
}

/** Undefined when the sections that say it cannot be read. */
export function whereaboutsOf(text: string, file: string): Whereabouts | undefined {
  const values = readToml(text).values ?? readRoughly(text);
  const isRight = (section: object): boolean => v.is(posternSchema, section);
  const sections = ['state', 'control', 'firewall'].flatMap((key) => {
    const section = { [key]: values[key] };
    return key in values && (key !== 'firewall' || isRight(section)) ? [section] : [];
  });
  const reading = v.safeParse(posternSchema, Object.assign({}, ...sections));
  if (!reading.success) return undefined;
  const { control, state, firewall } = lowerSettings(reading.output, directoryOf(file));
  return { socket: control.socket, state: state.dir, ipv6Prefix: firewall.ipv6Prefix };
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
