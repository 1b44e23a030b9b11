/**
 * Bundles every program of the package into dist/, as ES modules for Node 24 (`npm run build`; `npm ci` and `npm pack` do it too).
 *
 * dist/ is flat: `cli/knock` becomes dist/knock.js (bin/launch.cjs runs it), `watcher/main` dist/watcher-main.js (src/platform/entry.ts
 * finds it), and what they have in common lies beside them. An argument names another folder instead.
 */

import { existsSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

/** What is started by itself: the programs that bin/launch.cjs runs, and the scripts that the keeper runs. */
const ENTRIES = [
  'cli/postern',
  'cli/posternd',
  'cli/knockd',
  'cli/knock',
  'cage/confine',
  'cage/zygote',
  'watcher/main',
  'tarpit/main',
  'keeper/closer',
] as const;

const root = join(import.meta.dirname, '..');
const source = (entry: string): string => join(root, 'src', `${entry}.ts`);
const present = ENTRIES.filter((entry) => existsSync(source(entry)));
const missing = ENTRIES.filter((entry) => !present.includes(entry));

const out = resolve(root, process.argv[2] ?? 'dist');

rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: present.map((entry) => ({ in: source(entry), out: entry.replace(/^cli\//, '').replace('/', '-') })),
  outdir: out,
  bundle: true,
  splitting: true,
  chunkNames: 'shared-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: ['koffi'],
  logLevel: 'warning',
});

if (missing.length > 0) {
  console.error(`build: Missing ${missing.map((entry) => `src/${entry}.ts`).join(', ')}`);
  process.exitCode = 1;
}
