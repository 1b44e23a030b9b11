/** Which programs there are to be run. */

import { accessSync, constants, statSync } from 'node:fs';

/** Is there a program at this path, for us to run? */
export function canRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
