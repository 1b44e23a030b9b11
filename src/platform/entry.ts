/** Where this package's own programs are: TypeScript in a checkout, bundled JavaScript in an installed package. */

import { join } from 'node:path';

const inCheckout = import.meta.filename.endsWith('.ts');

export interface Entry {
  readonly script: string;
  /** What the runtime reads to load it: the folder of all our modules, and the package.json that says how to. */
  readonly modules: readonly string[];
}

/** One of our inner programs, e.g. `watcher/confine`. */
export function entry(name: string): Entry {
  const folder = inCheckout ? join(import.meta.dirname, '..') : import.meta.dirname;
  const file = inCheckout ? `${name}.ts` : `${name.replace('/', '-')}.js`;
  return { script: join(folder, file), modules: [folder, join(folder, '..', 'package.json')] };
}
