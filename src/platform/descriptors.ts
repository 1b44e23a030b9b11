/**
 * Descriptors that whoever started us left open. Node closes the first few of them on exec; a door's command is to inherit none
 * but 0 to 2, whatever the number.
 */

import { readdirSync } from 'node:fs';
import { closeOnExec } from './libc.ts';

/** From now on no program that is started inherits a descriptor above 2 unless it is handed over on purpose. */
export function keepDescriptorsPrivate(): void {
  if (process.platform !== 'linux') return;
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (fd <= 2) continue;
    try {
      closeOnExec(fd, true);
    } catch {
      // The one that listed them is closed again.
    }
  }
}
