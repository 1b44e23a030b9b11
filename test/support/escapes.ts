/**
 * Everything that a confined process must not be able to do, as code to be run inside of one: files, programs, sockets, other processes, mounts,
 * kernel programs, descriptors.
 */

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import {
  fstatSync,
  mkdirSync,
  promises,
  readFileSync,
  statSync,
  write,
  writeFileSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import { addressOf, dup2, SystemError, sendto, setsockopt, socket, syscall } from '../../src/platform/libc.ts';

const SOL_SOCKET = 1;
const SO_DETACH_FILTER = 27;
const SIGCONT = 18;

/** What they are aimed at. */
export interface Aims {
  /** A process of the same user. */
  readonly victim: number;
  /** Accepts TCP on loopback. */
  readonly port: number;
  /** The descriptor that packets come from, and the line to the keeper. */
  readonly capture: number;
  readonly channel: number;
}

export type Attempts = Readonly<Record<string, () => unknown>>;
export type Outcomes = Readonly<Record<string, string>>;

/** `allowed`, or the code of the error, for each. */
export async function tryAll(attempts: Attempts): Promise<Outcomes> {
  const outcomes: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) outcomes[name] = await outcome(attempt);
  return outcomes;
}

/** What became of a forbidden thing: `allowed`, or the error's code. */
async function outcome(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
    return 'allowed';
  } catch (error) {
    if (error instanceof SystemError || (error instanceof Error && 'code' in error)) return String(error.code);
    return String(error);
  }
}

const events = (emitter: NodeJS.EventEmitter, good: string): Promise<void> =>
  new Promise((resolve, reject) => {
    emitter.once(good, () => resolve());
    emitter.once('error', reject);
  });

function machineCall(name: string, x64: number, arm64: number, ...args: readonly (number | bigint)[]): number {
  return syscall(name, process.arch === 'x64' ? x64 : arm64, ...args);
}

const shellPath = new TextEncoder().encode('/bin/true\0');
const folderPath = new TextEncoder().encode('/tmp\0');
const tmpfs = new TextEncoder().encode('tmpfs\0');
const packet = new Uint8Array(64);

/** What stage one alone forbids. */
export function earlyEscapes({ victim, port }: Pick<Aims, 'victim' | 'port'>): Attempts {
  return {
    'read a file': () => readFileSync('/etc/passwd'),
    'read a file from the pool': () => promises.readFile('/etc/passwd'),
    'write a file': () => writeFileSync(`/tmp/postern-confined-${process.pid}`, 'x'),
    'write a file from the pool': () => promises.writeFile(`/tmp/postern-confined-${process.pid}`, 'x'),
    'make a directory': () => mkdirSync(`/tmp/postern-confined-${process.pid}`),
    'list a directory from the pool': () => promises.readdir('/'),
    'start a program': () => {
      const { error } = spawnSync('/bin/true');
      if (error) throw error;
    },
    'connect with TCP': () => {
      const client = connect(port, '127.0.0.1');
      return events(client, 'connect').finally(() => client.destroy());
    },
    'listen with TCP': () => {
      const server = createServer();
      server.listen(0, '127.0.0.1');
      return events(server, 'listening').finally(() => server.close());
    },
    'signal another process': () => process.kill(victim, 'SIGCONT'),
    'use a descriptor that was not handed on': () => fstatSync(40),
    'use io_uring': () => syscall('io_uring_setup', 425, 1, addressOf(new Uint8Array(120))),
  };
}

/** What the whole confinement forbids. */
export function escapes({ victim, port, capture, channel }: Aims): Attempts {
  return {
    ...earlyEscapes({ victim, port }),
    'look at a file': () => statSync('/etc/passwd'),
    'execute a program': () => machineCall('execve', 59, 221, addressOf(shellPath), 0, 0),
    'open a UDP socket': () => {
      const udp = createSocket('udp4');
      return new Promise<void>((resolve, reject) => {
        udp.once('error', reject);
        udp.bind(0, '127.0.0.1', resolve);
      }).finally(() => udp.close());
    },
    'open a packet socket': () => socket(17, 3, 0),
    'open a netlink socket': () => socket(16, 3, 0),
    'trace another process': () => machineCall('ptrace', 101, 117, 16, victim, 0, 0),
    'read the memory of another process': () => machineCall('process_vm_readv', 310, 270, victim, 0, 0, 0, 0),
    'signal its parent': () => process.kill(process.ppid, 0),
    'take the filter off': () => setsockopt(capture, SOL_SOCKET, SO_DETACH_FILTER, new Uint8Array(4)),
    'send on the capture descriptor': () => sendto(capture, packet, 0),
    'write to standard input': () => writeSync(0, packet),
    'write to standard output': () => writeSync(1, packet),
    'write to the capture descriptor': () => writeSync(capture, packet),
    'write pieces to the capture descriptor': () => writevSync(capture, [packet, packet]),
    'write to the capture descriptor from the pool': () =>
      new Promise<void>((resolve, reject) => {
        write(capture, packet, (error) => (error ? reject(error) : resolve()));
      }),
    'give the capture descriptor another number': () => dup2(capture, 60),
    'duplicate the capture descriptor with fcntl': () => machineCall('fcntl', 72, 25, capture, 0, 60),
    'send a message with descriptors': () => machineCall('sendmsg', 46, 211, channel, 0, 0),
    'make an anonymous file': () => machineCall('memfd_create', 319, 279, addressOf(shellPath), 0),
    'change its process settings': () => machineCall('prctl', 157, 167, 4, 1, 0, 0, 0),
    'get a new user namespace': () => machineCall('unshare', 272, 97, 0x10000000),
    fork: () => machineCall('clone', 56, 220, 17, 0, 0, 0, 0),
    'load a module': () => import(`${import.meta.url}?again`),
    'start a worker thread': () => {
      const worker = new Worker('', { eval: true });
      return events(worker, 'online');
    },

    'signal another process by a descriptor of it': () => {
      const pidfd = machineCall('pidfd_open', 434, 434, victim, 0);
      machineCall('pidfd_send_signal', 424, 424, pidfd, SIGCONT, 0, 0);
    },
    'take a descriptor from another process': () => machineCall('pidfd_getfd', 438, 438, 0, 0, 0),
    'mount a filesystem': () =>
      machineCall('mount', 165, 40, addressOf(tmpfs), addressOf(folderPath), addressOf(tmpfs), 0, 0),
    'open a filesystem to mount': () => machineCall('fsopen', 430, 430, addressOf(tmpfs), 0),
    'take a mount away': () => machineCall('umount2', 166, 39, addressOf(folderPath), 2),
    'have another root': () => machineCall('chroot', 161, 51, addressOf(folderPath)),
    'join a namespace': () => machineCall('setns', 308, 268, channel, 0),
    'load a kernel program': () => machineCall('bpf', 321, 280, 0, addressOf(new Uint8Array(72)), 72),
    'watch the kernel': () => machineCall('perf_event_open', 298, 241, addressOf(new Uint8Array(128)), 0, -1, -1, 0),
    'read the kernel log': () => machineCall('syslog', 103, 116, 3, addressOf(packet), 64),
    'use the keyring': () => machineCall('keyctl', 250, 219, 0, -3, 0, 0, 0),
    'handle its own page faults': () => machineCall('userfaultfd', 323, 282, 0),
    'become root': () => machineCall('setresuid', 117, 147, 0, 0, 0),
    'take up capabilities': () =>
      syscall(
        'capset',
        process.arch === 'x64' ? 126 : 91,
        new Uint8Array(Uint32Array.of(0x20080522, 0).buffer),
        new Uint8Array(Uint32Array.of(1 << 12, 1 << 12, 0, 0, 0, 0).buffer),
      ),
    'raise its limits': () => machineCall('prlimit64', 302, 261, 0, 7, addressOf(new Uint8Array(16)), 0),
  };
}
