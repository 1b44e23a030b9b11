/** What a watcher is shut into, for people. */

import type { Confinement } from '../core/messages.ts';

/** `user 988, landlock 7, seccomp`. */
export function describeConfinement({ landlock, seccomp, uid }: Confinement): string {
  const layers = [landlock === undefined ? 'no landlock' : `landlock ${landlock}`, seccomp ? 'seccomp' : 'no seccomp'];
  return [`user ${uid}`, ...layers].join(', ');
}
