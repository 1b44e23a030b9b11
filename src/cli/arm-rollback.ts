/** Sees to it that a trial is taken back by somebody who outlives the session, the command and the daemon: `postern rollback`. */

import { dirname, join } from 'node:path';
import { isSystemdHere, startDetached, startUnit } from '../platform/process.ts';

/** A timer of systemd where there is one, and a process in a session of its own; `delay` milliseconds from now. */
export function armRollback(folder: string, token: string, delay: number): void {
  const program = join(dirname(process.argv[1] ?? ''), 'postern');
  const words = [program, 'rollback', '--state', folder, '--token', token];
  const postern = [process.execPath, ...process.execArgv, ...words] as const;
  // A daemon's children may be shut in as it is, systemd's are not. The first unit of that name may be there still.
  const name = `postern-rollback-${token}${delay === 0 ? `-${process.pid}` : ''}`;
  if (isSystemdHere()) startUnit(name, delay, postern);
  // In any case: a timer that could not be set must not be the end of it. Whoever comes second finds nothing to do.
  startDetached([...postern, '--after', `${delay}ms`]);
}
