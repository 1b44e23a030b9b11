/** The version of this package: package.json has it, and the file is found both from `src/` in a checkout and from `dist/` in an installed package. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** This package's version, e.g. `0.1.0`. */
export function readVersion(from: string = import.meta.dirname): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const version = versionIn(join(folder, 'package.json'));
    if (version !== undefined) return version;
    if (folder === dirname(folder)) throw new Error(`No package.json of postern at or above "${from}"`);
  }
}

function versionIn(file: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown };
  return name === 'postern' && typeof version === 'string' ? version : undefined;
}
