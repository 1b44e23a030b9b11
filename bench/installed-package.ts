/**
 * The package as `npm install` would leave it: bin/, dist/ and package.json in a folder of their own, beside the checkout's
 * node_modules. What is measured is the bundle that people run, not the TypeScript that a checkout strips while it starts.
 */

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);

/** Builds it in `folder`, which it creates, and leaves the checkout's own dist/ alone; returns the path of its knockd. */
export async function installPackage(folder: string): Promise<string> {
  mkdirSync(folder);
  for (const part of ['bin', 'src', 'scripts', 'package.json', 'tsconfig.json']) {
    cpSync(join(root, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  await run(process.execPath, [join(folder, 'scripts/build.ts')]);
  // With its sources there, the launcher would take it for a checkout.
  for (const part of ['src', 'scripts', 'tsconfig.json']) rmSync(join(folder, part), { recursive: true });
  return join(folder, 'bin/knockd');
}
