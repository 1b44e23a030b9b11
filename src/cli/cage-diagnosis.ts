/**
 * What the daemon's processes are shut into, layer by layer, and what the keeper itself holds. Landlock is what a process reports of itself when it
 * starts; everything else the kernel is asked for, thread by thread.
 */

import type { PosternConfig } from '../config/postern-config.ts';
import type { WireStatus } from '../control/client.ts';
import { CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_NET_RAW, capabilityName } from '../platform/capabilities.ts';
import { type ProcessStatus, processStatus } from '../platform/process-status.ts';
import { broken, type Diagnosis, ok, warning } from './diagnosis.ts';

/** A layer that is missing: which, and what brings it back. */
interface Lack {
  readonly layer: string;
  readonly remedy: string;
}

const ANEW = 'Start posternd anew as root, and see its log';
const MAY_KEEP = [CAP_NET_ADMIN, CAP_NET_RAW, CAP_DAC_READ_SEARCH].map(capabilityName);
const MOST_NAMED = 4;

export function* judgeCage(status: WireStatus, config: PosternConfig | undefined): Generator<Diagnosis> {
  const { watcher, tarpit, keeper } = status;
  if (watcher.pid === undefined)
    yield broken('cage', 'The watcher does not run: nobody hears knocks', 'See postern log');
  else yield* shutIn('watcher', watcher.confinement, processStatus(watcher.pid, scriptOf('watcher')));
  if (tarpit !== undefined) {
    if (tarpit.pid === undefined)
      yield warning('cage', 'The tarpit does not run: banned sources wait for nothing', 'See postern log');
    else yield* shutIn('tarpit', tarpit.confinement, processStatus(tarpit.pid, scriptOf('tarpit')));
  }
  yield judgeKeeper(keeper.capabilities, config?.doors.some(({ hooks }) => hooks.onOpen || hooks.onClose) === true);
}

/** In a checkout, or in the package. */
function scriptOf(program: string): RegExp {
  return new RegExp(`\\b${program}[/-]main\\.[jt]s\\b`);
}

/** Every layer that there is in one line, and a warning for each that there is not. `status` is absent where the kernel cannot be asked. */
export function* shutIn(who: string, confinement: string, status: ProcessStatus | undefined): Generator<Diagnosis> {
  const lacks = [...reportedLacks(confinement), ...(status ? foundLacks(status) : [])];
  const has = status
    ? [
        ...(status.noNewPrivs ? ['no_new_privs'] : []),
        ...(status.capabilities === 0n ? ['no capability'] : []),
        ...(status.unlimited.length === 0 ? ['limits'] : []),
      ]
    : [];
  const layers = [confinement, ...has].join(', ');
  if (lacks.length === 0) yield ok('cage', `the ${who} is shut in: ${layers}`);
  for (const { layer, remedy } of lacks)
    yield warning('cage', `The ${who} is shut in without ${layer} (${layers})`, remedy);
}

function* reportedLacks(confinement: string): Generator<Lack> {
  if (confinement.includes('no landlock'))
    yield { layer: 'Landlock', remedy: 'Use Linux 5.13 or newer, with "landlock" in the boot parameter lsm=' };
  if (confinement.includes('no seccomp'))
    yield { layer: 'a system call filter', remedy: 'Use a kernel with CONFIG_SECCOMP_FILTER' };
  if (/\buser 0\b/.test(confinement))
    yield {
      layer: 'a user id of its own: it is root still',
      remedy:
        'Let posternd have CAP_SETUID and CAP_SETGID when it starts (CapabilityBoundingSet= of its unit), and start it anew',
    };
}

function* foundLacks({ capabilities, noNewPrivs, filtered, unlimited, uids }: ProcessStatus): Generator<Lack> {
  if (!noNewPrivs) yield { layer: 'no_new_privs', remedy: ANEW };
  if (!filtered) yield { layer: 'a system call filter on every thread', remedy: ANEW };
  if (capabilities !== 0n) yield { layer: 'giving its capabilities up', remedy: ANEW };
  if (uids.length > 1) yield { layer: `one user id: its threads are of users ${uids.join(' and ')}`, remedy: ANEW };
  if (unlimited.length > 0)
    yield {
      layer: `limits: it may have ${unlimited.join(', ')}`,
      remedy: 'Let it lower its own limits (prlimit in the SystemCallFilter= of its unit), and start it anew',
    };
}

/** Hooks are run with what the keeper holds, so that it keeps all for them. */
export function judgeKeeper(held: readonly string[], withHooks: boolean): Diagnosis {
  const unneeded = held.filter((name) => !MAY_KEEP.includes(name));
  if (unneeded.length === 0) return ok('cage', `the keeper holds ${held.join(', ') || 'no capability'}`);
  const what = `${held.length} capabilities`;
  if (withHooks) return ok('cage', `the keeper holds ${what}: hooks are run with all that root has`);
  const more = unneeded.length > MOST_NAMED ? ', …' : '';
  return warning(
    'cage',
    `The keeper holds ${what}, such as ${unneeded.slice(0, MOST_NAMED).join(', ')}${more}: it needs CAP_NET_ADMIN and CAP_NET_RAW`,
    'Start posternd anew; when it is so again, its log says why',
  );
}
