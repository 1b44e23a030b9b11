/** Which boot of the machine this is (random(4)). */

import { readFileSync } from 'node:fs';

/** Another text after each start of the machine; undefined where the system tells none. */
export function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return undefined;
  }
}
