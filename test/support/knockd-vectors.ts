/** Reads `test/config/knockd-conf-vectors.md`: configurations and what Debian's knockd 0.8 said to them. Byte strings throughout. */

import { readFileSync } from 'node:fs';

export interface KnockdVector {
  readonly title: string;
  readonly conf: string;
  /** The one-time file named `s`, when there is one. */
  readonly sequences?: string;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  readonly end: 'ok' | 'usage';
}

/** Every vector of the file. */
export function readKnockdVectors(path: URL): KnockdVector[] {
  const [, ...sections] = readFileSync(path, 'utf8').split(/^## /m);
  return sections.map((section) => {
    const blocks = new Map<string, string>();
    for (const [, name = '', body = ''] of section.matchAll(/^```(\w+)\n(.*?\n)```$/gms)) blocks.set(name, body);
    const said = unescapeBlock(blocks.get('knockd') ?? '')
      .split('\n')
      .slice(0, -1);
    const lines = said.slice(0, -1);
    const sequences = blocks.get('s');
    return {
      title: section.slice(0, section.indexOf('\n')),
      conf: unescapeBlock(blocks.get('conf') ?? ''),
      ...(sequences !== undefined && { sequences: unescapeBlock(sequences) }),
      stdout: lines.filter((line) => !line.startsWith('! ')),
      stderr: lines.filter((line) => line.startsWith('! ')).map((line) => line.slice(2)),
      end: said.at(-1) === 'ok' ? 'ok' : 'usage',
    };
  });
}

function unescapeBlock(block: string): string {
  return block
    .replace(/\\z\n$/, '')
    .replace(/\{(.)\*(\d+)\}/g, (_, character: string, count: string) => character.repeat(Number(count)))
    .replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
