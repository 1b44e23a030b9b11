/**
 * Runs test files against one mutant, in a process of its own: `MUTANT` is a file, a place in it and what stands there instead, as JSON. The tests
 * read the sources from the disk as ever; only that file is another.
 */

import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

interface Slip {
  readonly file: string;
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const mutant = process.env.MUTANT;
if (mutant !== undefined) mutate(JSON.parse(mutant) as Slip);

function mutate({ file, start, end, text }: Slip): void {
  const target = pathToFileURL(file).href;
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context);
      if (url !== target) return loaded;
      const source = String(loaded.source);
      return { ...loaded, source: source.slice(0, start) + text + source.slice(end) };
    },
  });
}

for (const file of process.argv.slice(2)) await import(pathToFileURL(file).href);
