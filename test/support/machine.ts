/**
 * A machine of a test's own, with an init that believes it rules a computer: namespaces and a root in memory, made by machine.sh, on a host
 * of a test's network. What it is made of and what it cannot touch is said there.
 *
 *     await using machine = await startMachine(server, { files, init: ['/lib/systemd/systemd'], isUp: ['systemctl', 'is-system-running'] });
 *     await machine.exec(['systemctl', 'start', 'posternd']);
 *
 * Postern is installed in it, built from the sources of this moment, as `npm install --global --prefix /usr/local` does. The host's programs
 * run beside it in the same network: a server that a door protects need not be in the machine.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtPackage } from './built-package.ts';
import { childrenOf, commandLine } from './knockd-host.ts';
import { type Host, unavailable } from './netns.ts';
import type { Ended, ExecOptions, Running, RunOptions } from './running.ts';
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts';

const ROOT = join(import.meta.dirname, '../..');
const SCRIPT = join(import.meta.dirname, 'machine.sh');
/** Where npm puts it; what the package's `files` name of a checkout's root. */
export const PACKAGE = '/usr/local/lib/node_modules/postern';
const PACKAGED = ['systemd', 'packaging'] as const;
const START_TIMEOUT = 60_000;
/** What an administrator's shell has, and nothing of the test's. */
const SHELL = ['env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C.UTF-8'];

export interface MachineOptions {
  /** Its process 1. */
  readonly init: readonly [string, ...string[]];
  /** Says, by its status 0, that the machine is up; tried until then. */
  readonly isUp: readonly [string, ...string[]];
  /** Files of its root, by path. */
  readonly files: Readonly<Record<string, MachineFile>>;
  /** A folder whose content is copied over its root. */
  readonly unpacked?: string;
}

/** A text, or where a symbolic link leads to. */
export type MachineFile = string | { readonly link: string } | { readonly program: string };

export interface Machine extends AsyncDisposable {
  /** Runs a program in it to its end, as root. */
  exec(argv: readonly string[], options?: ExecOptions): Promise<Ended>;
  /** Starts a program in it, as root. */
  spawn(argv: readonly string[], options?: RunOptions): Running;
  /** Has it start again: what it has on disk stays, the rules of its firewall do not. */
  reboot(how: readonly [string, ...string[]]): Promise<void>;
}

/** The folders of machines that were not closed yet. */
const live = new Set<TemporaryFolder>();
let machines = 0;
let refusal: string | false | undefined;

/** Why no machine can be made here, for a test's `skip`; false when it can. `programs` as for `unavailable`. */
export function machineUnavailable(...programs: readonly string[]): string | false {
  const missing = unavailable('nft', 'nsenter', 'pivot_root', 'setpriv', ...programs);
  if (missing !== false) return missing;
  refusal ??= machinesRefused();
  return refusal;
}

/** Tries what machine.sh does first, where nobody sees it. */
function machinesRefused(): string | false {
  const attempt = `[ -L /bin ]; mount -t tmpfs none /mnt; cd /mnt; mkdir upper work usr groups
    mount -t overlay -o lowerdir=/usr,upperdir=upper,workdir=work none usr
    mount -t cgroup2 none groups; mkdir groups/postern-$$-probe; rmdir groups/postern-$$-probe; mount -t proc none /proc`;
  const namespaces = ['--net', '--cgroup', '--pid', '--ipc', '--uts', '--mount', '--fork'];
  const { status } = spawnSync('unshare', [...namespaces, 'sh', '-ec', attempt], { stdio: 'ignore' });
  return (
    status !== 0 && 'needs a machine in namespaces (mount, pid, cgroup), with overlayfs, cgroup2 and a merged /usr'
  );
}

/** Starts it and waits until it is up. It ends with the topology at the latest. */
export async function startMachine(host: Host, options: MachineOptions): Promise<Machine> {
  const folder = temporaryFolder();
  if (machines === 0) process.on('exit', cleanUp);
  live.add(folder);
  await writeDisk(folder.path, options);
  machines += 1;
  const name = `postern-${process.pid}-${machines}`;
  const make = ['unshare', '--mount', 'sh', SCRIPT, 'make', folder.path, name, ...options.init];
  const running = host.spawn(make, { cwd: '/' });
  const spawn = (argv: readonly string[], how?: RunOptions): Running =>
    host.spawn(['nsenter', '-t', `${firstProcess(running)}`, '-a', '-r', '-w', ...SHELL, ...argv], how);
  const started = async (before?: number): Promise<void> => {
    const deadline = performance.now() + START_TIMEOUT;
    for (;;) {
      const first = firstProcess(running);
      if (first !== undefined && first !== before) {
        if ((await spawn(options.isUp).end({ mayFail: true })).status === 0) return;
      }
      if (!running.running) throw new Error(`The machine has ended:\n${running.lines.join('\n')}`);
      if (performance.now() > deadline) throw new Error(`The machine does not start:\n${running.lines.join('\n')}`);
      await sleep(20);
    }
  };
  const close = async (): Promise<void> => {
    if (running.running) await running.stop();
    folder[Symbol.dispose]();
    live.delete(folder);
  };
  try {
    await started();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    spawn,
    exec: async (argv, how = {}) => spawn(argv, how).end(how),
    async reboot(how) {
      const before = firstProcess(running);
      await spawn(how).end({ mayFail: true });
      await started(before);
    },
    [Symbol.asyncDispose]: close,
  };
}

/** When a test ends before it has closed its machines: the topology's own clean-up, which comes before, has killed them. */
function cleanUp(): void {
  for (const folder of live) {
    spawnSync('unshare', ['--mount', 'sh', SCRIPT, 'sweep', folder.path], { stdio: 'ignore' });
    folder[Symbol.dispose]();
  }
}

/** Its process 1 as the host knows it; undefined while it is not one yet that sees its own root only. */
function firstProcess(running: Running): number | undefined {
  const [namespace] = childrenOf(running.pid).filter((pid) => commandLine(pid).startsWith('unshare '));
  const [first] = namespace === undefined ? [] : childrenOf(namespace);
  return first === undefined || /^(unshare|sh|) ?.*machine\.sh/.test(commandLine(first)) ? undefined : first;
}

async function writeDisk(folder: string, { files, unpacked }: MachineOptions): Promise<void> {
  const disk = join(folder, 'files');
  mkdirSync(join(disk, PACKAGE), { recursive: true });
  if (unpacked !== undefined) cpSync(unpacked, disk, { recursive: true, verbatimSymlinks: true });
  using built = await builtPackage();
  for (const name of ['bin', 'dist', 'package.json'])
    cpSync(join(built.path, name), join(disk, PACKAGE, name), { recursive: true });
  for (const name of PACKAGED) cpSync(join(ROOT, name), join(disk, PACKAGE, name), { recursive: true });
  symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(folder, 'modules'));
  symlinkSync(process.execPath, join(folder, 'runtime'));
  for (const [path, content] of Object.entries(files)) {
    const file = join(disk, path);
    mkdirSync(dirname(file), { recursive: true });
    if (typeof content === 'string') writeFileSync(file, content);
    else if ('program' in content) writeFileSync(file, content.program, { mode: 0o755 });
    else symlinkSync(content.link, file);
  }
}
