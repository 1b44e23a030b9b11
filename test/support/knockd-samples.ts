/**
 * Reads the recorded sessions with Debian's knockd 0.8 (`knockd-samples`, beside the checkout): configurations, what knockd
 * printed, and the states of one-time files. Byte strings throughout. Lines of the grammar cases are cut at 200.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../../../shared/specs/knockd-samples/', import.meta.url);

export const SAMPLES_MISSING: string | false = existsSync(folder) ? false : 'no recorded sessions beside the checkout';

export interface Sample {
  readonly name: string;
  readonly conf: string;
  /** The command line, or the title of a grammar case. */
  readonly command: string;
  /** What knockd printed, both streams, without the usage text. */
  readonly printed: readonly string[];
  /** The one-time file at each moment the session shows it. */
  readonly files: readonly string[];
}

function read(name: string): string {
  return readFileSync(new URL(name, folder), 'latin1');
}

/** The sessions: one per file that has a `=== config` block. */
export function readSessions(): Sample[] {
  if (SAMPLES_MISSING) return [];
  const samples: Sample[] = [];
  for (const name of readdirSync(folder).sort()) {
    const text = read(name);
    const conf = /^=== config\n(.*?)\n=== actions$/ms.exec(text)?.[1];
    if (conf === undefined) continue;
    const actions = /^=== actions\n(.*?)^=== stdout/ms.exec(text)?.[1] ?? '';
    const printed = /^=== stdout[^\n]*\n(.*?)^=== logfile$/ms.exec(text)?.[1] ?? '';
    const files = [...actions.matchAll(/file is now:\n(.*?)^\n(?=send |# |$(?![\s\S]))/gms)].map(
      (match) => match[1] ?? '',
    );
    const command = text.slice(0, text.indexOf('\n'));
    samples.push({ name, conf, command, printed: withoutUsage(printed.split('\n').slice(0, -1)), files });
  }
  return samples;
}

/** The cases of `18-config-grammar.txt`. */
export function readGrammarCases(): Sample[] {
  if (SAMPLES_MISSING) return [];
  const text = read('18-config-grammar.txt');
  const cases = text.matchAll(/^### ([^\n]*)\n--- config\n(.*?)--- result: [^\n]*\n(.*?)(?=^### |$(?![\s\S]))/gms);
  return [...cases].map(([, command = '', conf = '', printed = '']) => {
    // The recording shows 240 bytes of the long line only, and CR LF as LF.
    const whole = command.startsWith('long command')
      ? `[A]\nsequence = 1,2\ncommand = echo ${'x'.repeat(4200)}\n`
      : conf;
    const lines = printed.split('\n').filter((line) => line !== '');
    const ended = command.includes('CRLF') ? whole.replaceAll('\n', '\r\n') : whole;
    return { name: command, conf: ended, command, printed: withoutUsage(lines), files: [] };
  });
}

function withoutUsage(lines: readonly string[]): string[] {
  const usage = lines.findIndex((line) => line.startsWith('usage: ') || line === '<usage text>');
  return usage === -1 ? [...lines] : lines.slice(0, usage);
}

/** Does a recorded line, perhaps cut, show this one? */
export function shows(recorded: string, line: string): boolean {
  return recorded === line || (recorded.length === 200 && line.startsWith(recorded));
}
