/**
 * posternd as a service of systemd. Whoever is to start the daemon has systemd do it where a unit is there for this configuration: so it is in
 * its sandbox, is started again when it dies, and no second one is in the unit's way. Whoever ends it does so there, too: what is
 * only killed would be started again.
 */

import { feedProgram, isSystemdHere } from '../platform/process.ts';

const UNIT = 'posternd.service';
const LIMITS = { timeout: 10_000, limit: 65_536 };
/** Longer than the unit's own patience with a start or a stop. */
const JOB = { timeout: 100_000, limit: 65_536 };

export interface DaemonUnit {
  /** Does it start with the machine? */
  readonly enabled: boolean;
  /** 0 while it does not run. */
  readonly pid: number;
}

/** The unit that runs posternd with this file (an absolute path); undefined without one, or without systemd. */
export async function unitOf(file: string): Promise<DaemonUnit | undefined> {
  if (!isSystemdHere()) return undefined;
  const wanted = 'LoadState,UnitFileState,MainPID,ExecStart';
  const { output } = await systemctl(['show', `--property=${wanted}`, UNIT], LIMITS);
  const values = new Map(output.split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]));
  if (values.get('LoadState') !== 'loaded' || !` ${values.get('ExecStart')}`.includes(` --config ${file} `)) {
    return undefined;
  }
  return { enabled: values.get('UnitFileState') === 'enabled', pid: Number(values.get('MainPID')) };
}

/** Resolves when it is ready, to false when it did not get there. */
export async function startDaemonUnit(): Promise<boolean> {
  return await succeeds('start');
}

/** Resolves when it has ended, to false when systemd could not say so. */
export async function stopDaemonUnit(): Promise<boolean> {
  return await succeeds('stop');
}

async function succeeds(verb: 'start' | 'stop'): Promise<boolean> {
  const { ending } = await systemctl([verb, UNIT], JOB);
  return 'status' in ending && ending.status === 0;
}

function systemctl(words: readonly string[], limits: typeof LIMITS): ReturnType<typeof feedProgram> {
  return feedProgram(['systemctl', '--no-pager', ...words], '', limits);
}
