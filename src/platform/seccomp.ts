/**
 * Seccomp filters (seccomp(2)): which system calls a process may still make, decided by the kernel before each call.
 *
 * `bootFilter` goes in before a program replaces itself: io_uring does not exist for it (ENOSYS, so libuv goes
 * without), because what a ring submits passes no filter. `runFilter` and `tarpitFilter` are allowlists for a running event loop, on all threads:
 * memory, time, locks, waiting, reading, writing to what is not a capture descriptor. Everything else fails with EPERM: opening,
 * executing, new sockets, threads, processes and descriptors, signals to others, every socket option. Memory may still be made
 * executable: V8 compiles JavaScript, so whoever runs code in here can run machine code too, and this filter is what holds it. (`--jitless` would change that at 6.5
 * microseconds for a new attempt instead of 0.44.)
 */

import type { BpfInstruction } from '../core/bpf.ts';
import { addressOf, SystemError, syscall } from './libc.ts';
import { type Machine, syscallNumber, syscallNumberOn, thisMachine } from './syscalls.ts';

const LOAD_WORD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;

// struct seccomp_data
const NUMBER = 0;
const ARCHITECTURE = 4;
/** The low half of an argument, on little-endian machines; the kernel takes descriptors and commands as 32 bits. */
const argument = (index: number): number => 16 + index * 8;

const KILL_PROCESS = 0x80000000;
const ALLOW = 0x7fff0000;
const FAIL = 0x00050000;
const EPERM = 1;
const ENOSYS = 38;

const AUDIT_ARCH: Readonly<Record<Machine, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };

const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;

/** What every running event loop needs: calls that take no argument worth looking at. */
const RUNNING = [
  // memory, which V8 and malloc move all the time
  ...['mmap', 'munmap', 'mremap', 'mprotect', 'pkey_mprotect', 'madvise', 'brk'],
  // threads that exist already
  ...[
    'futex',
    'membarrier',
    'rseq',
    'sched_yield',
    'sched_getaffinity',
    'sched_getparam',
    'sched_getscheduler',
    'getcpu',
    'exit',
    'exit_group',
  ],
  // time
  ...['clock_gettime', 'clock_getres', 'clock_nanosleep', 'nanosleep', 'gettimeofday', 'time', 'restart_syscall'],
  // signals that arrive
  ...['rt_sigaction', 'rt_sigprocmask', 'rt_sigreturn', 'sigaltstack'],
  // waiting
  ...['epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'epoll_ctl', 'close', 'fstat'],
  // koffi flushes descriptors 1 and 2 when the process ends, and hangs when that is refused
  'fsync',
  // about itself
  ...['getpid', 'getppid', 'gettid', 'getuid', 'geteuid', 'getgid', 'getegid'],
  ...['getrandom', 'getrusage', 'times', 'sysinfo', 'uname'],
] as const;

/** And what the watcher needs besides: it waits for rings, and reads. */
const WATCHING = [
  ...['poll', 'ppoll', 'read', 'readv', 'pread64', 'recvfrom'],
  ...['getsockopt', 'getsockname', 'getpeername', 'shutdown'],
] as const;

/** Calls allowed with one of these values of an argument; F_GETFD, F_GETFL, F_SETFL; TCGETS, FIONREAD, FIONBIO. */
const ALLOWED_WITH = [
  { call: 'fcntl', argument: 1, values: [1, 3, 4] },
  { call: 'ioctl', argument: 1, values: [0x5401, 0x541b, 0x5421] },
] as const;

/** The calls that write. sendto, sendmsg and their like are not among them: libuv writes to a stream with these two. */
const WRITING = ['write', 'writev'] as const;

/** The filter for starting a program in: everything but io_uring. */
export function bootFilter(machine: Machine): Uint8Array {
  const rings = ['io_uring_setup', 'io_uring_enter', 'io_uring_register'];
  return encode([
    ...start(machine),
    ...rings.flatMap((call) => when(machine, call, [answer(FAIL | ENOSYS)])),
    answer(ALLOW),
  ]);
}

/** The filter of the watcher: `unwritable` are the descriptors that can be read and waited for, never written to; `pid` may signal itself. */
export function runFilter(machine: Machine, unwritable: readonly number[], pid: number): Uint8Array {
  const write = [
    load(argument(0)),
    ...unwritable.flatMap((fd) => whenEqual(fd, [answer(FAIL | EPERM)])),
    answer(ALLOW),
  ];
  return encode([
    ...start(machine),
    ...[...RUNNING, ...WATCHING].flatMap((call) => when(machine, call, [answer(ALLOW)])),
    ...WRITING.flatMap((call) => when(machine, call, write)),
    ...ALLOWED_WITH.flatMap((rule) => when(machine, rule.call, only(rule.argument, rule.values))),
    ...when(machine, 'tgkill', only(0, [pid])),
    answer(FAIL | EPERM),
  ]);
}

/**
 * The filter of the tarpit: it takes connections from `listeners`, sends to what it has taken, in this one way (`SENT_WITH`), and closes it. It
 * reads from and writes to the descriptors of `own` alone: what a stranger sends stays in the kernel.
 */
export function tarpitFilter(
  machine: Machine,
  listeners: readonly number[],
  own: { readonly readable: readonly number[]; readonly writable: readonly number[] },
  pid: number,
): Uint8Array {
  return encode([
    ...start(machine),
    ...RUNNING.flatMap((call) => when(machine, call, [answer(ALLOW)])),
    ...['read', 'readv'].flatMap((call) => when(machine, call, only(0, own.readable))),
    ...WRITING.flatMap((call) => when(machine, call, only(0, own.writable))),
    ...when(machine, 'accept4', only(0, listeners)),
    ...when(machine, 'sendto', only(3, [SENT_WITH])),
    ...ALLOWED_WITH.flatMap((rule) => when(machine, rule.call, only(rule.argument, rule.values))),
    ...when(machine, 'tgkill', only(0, [pid])),
    answer(FAIL | EPERM),
  ]);
}

/** MSG_DONTWAIT | MSG_NOSIGNAL: never MSG_FASTOPEN, by which sendto(2) connects. */
export const SENT_WITH = 0x4040;

/** The call is allowed with one of these values of an argument. */
function only(index: number, values: readonly number[]): readonly BpfInstruction[] {
  return [load(argument(index)), ...values.flatMap((value) => whenEqual(value, [answer(ALLOW)])), answer(FAIL | EPERM)];
}

/**
 * Installs a filter for all threads of this process and all they start; false when the kernel has no seccomp. Needs no_new_privs.
 * Throws when a thread could not be brought under it: then none was.
 */
export function installFilter(filter: Uint8Array): boolean {
  const program = new Uint8Array(16);
  const view = new DataView(program.buffer);
  view.setUint16(0, filter.length / 8, true);
  view.setBigUint64(8, addressOf(filter), true);
  try {
    const number = syscallNumber('seccomp');
    const thread = syscall('seccomp', number, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program, filter);
    if (thread !== 0) throw new Error(`Cannot bring thread ${thread} under the system call filter`);
    return true;
  } catch (error) {
    // EINVAL: a kernel built with seccomp, but without filters.
    if (error instanceof SystemError && (error.code === 'ENOSYS' || error.code === 'EINVAL')) return false;
    throw error;
  }
}

/** Whether io_uring is out of reach: a filter that does not know its calls cannot hold what a ring submits. */
export function isWithoutRings(): boolean {
  if (!thisMachine()) return false;
  try {
    syscall('io_uring_setup', syscallNumber('io_uring_setup'), 0, 0);
    return false;
  } catch (error) {
    return error instanceof SystemError && error.code === 'ENOSYS';
  }
}

/** Another architecture's call would have another number: no such call is ever ours. */
function start(machine: Machine): readonly BpfInstruction[] {
  const architecture = AUDIT_ARCH[machine];
  return [
    load(ARCHITECTURE),
    { code: JUMP_IF_EQUAL, jt: 1, jf: 0, k: architecture },
    answer(KILL_PROCESS),
    load(NUMBER),
  ];
}

function when(machine: Machine, call: string, then: readonly BpfInstruction[]): readonly BpfInstruction[] {
  const number = syscallNumberOn(machine, call);
  return number === undefined ? [] : whenEqual(number, then);
}

/** `then` has to end with an answer, and to be shorter than a jump can reach. */
function whenEqual(value: number, then: readonly BpfInstruction[]): readonly BpfInstruction[] {
  if (then.length > 255) throw new RangeError(`Cannot jump over ${then.length} instructions`);
  return [{ code: JUMP_IF_EQUAL, jt: 0, jf: then.length, k: value }, ...then];
}

function load(offset: number): BpfInstruction {
  return { code: LOAD_WORD, jt: 0, jf: 0, k: offset };
}

function answer(action: number): BpfInstruction {
  return { code: RETURN, jt: 0, jf: 0, k: action };
}

function encode(program: readonly BpfInstruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  program.forEach(({ code, jt, jf, k }, index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  });
  return bytes;
}
