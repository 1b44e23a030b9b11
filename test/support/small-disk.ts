/**
 * A folder on a small disk of its own, which can be filled, for programs of one host. It is in a mount namespace that lives as long as a process
 * of the host: nothing is left behind when a test is killed.
 */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from './netns.ts';

export interface SmallDisk {
  /** For `sh -ec`: runs `"$0" "$@"` where the disk is mounted, in the present folder. */
  readonly within: string;
  /** A file on the disk, for this process. */
  file(name: string): string;
  /** Leaves no byte free. */
  fill(): void;
  /** Takes away what `fill` has put there. */
  free(): void;
}

/** Mounts `size` (as mount(8) has it) at a folder that exists. */
export async function mountSmallDisk(host: Host, folder: string, size: string): Promise<SmallDisk> {
  const mount = `mount -t tmpfs -o size=${size} none "$0"; echo mounted; exec sleep infinity`;
  const holder = host.spawn(['unshare', '-m', 'sh', '-ec', mount, folder]);
  await holder.waitForLine(/^mounted$/);
  const file = (name: string): string => join(`/proc/${holder.pid}/root`, folder, name);
  return {
    within: `here=$PWD; exec nsenter --mount=/proc/${holder.pid}/ns/mnt sh -ec 'cd "$0"; exec "$@"' "$here" "$0" "$@"`,
    file,
    fill: () => {
      try {
        for (;;) writeFileSync(file('ballast'), Buffer.alloc(4096), { flag: 'a' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    },
    free: () => rmSync(file('ballast'), { force: true }),
  };
}
