/** This package as it is installed: programs bundled from the sources of this moment, which start three times as fast. */

import { cpSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Running } from './running.ts';
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts';

const ROOT = join(import.meta.dirname, '../..');

/** A folder of its own with bin/ and dist/. */
export async function builtPackage(): Promise<TemporaryFolder> {
  const folder = temporaryFolder();
  for (const name of ['bin', 'package.json']) cpSync(join(ROOT, name), join(folder.path, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
  await new Running([process.execPath, join(ROOT, 'scripts/build.ts'), join(folder.path, 'dist')]).end();
  return folder;
}
