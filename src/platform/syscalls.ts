/**
 * System call numbers of the two machines that the confinement knows, from the kernel's tables (x86_64: arch/x86/entry/syscalls/
 * syscall_64.tbl; aarch64: the generic include/uapi/asm-generic/unistd.h). A dash in a machine's column means it has no such call.
 */

const TABLE = `
  read               0  63
  write              1  64
  close              3  57
  fstat              5  80
  poll               7   -
  mmap               9 222
  mprotect          10 226
  munmap            11 215
  brk               12 214
  rt_sigaction      13 134
  rt_sigprocmask    14 135
  rt_sigreturn      15 139
  ioctl             16  29
  pread64           17  67
  readv             19  65
  writev            20  66
  sched_yield       24 124
  mremap            25 216
  madvise           28 233
  nanosleep         35 101
  getpid            39 172
  sendto            44 206
  recvfrom          45 207
  sendmsg           46 211
  recvmsg           47 212
  shutdown          48 210
  getsockname       51 204
  getpeername       52 205
  socketpair        53 199
  getsockopt        55 209
  exit              60  93
  uname             63 160
  fcntl             72  25
  fsync             74  82
  gettimeofday      96 169
  getrusage         98 165
  sysinfo           99 179
  times            100 153
  getuid           102 174
  getgid           104 176
  geteuid          107 175
  getegid          108 177
  getppid          110 173
  setresuid        117 147
  capget           125  90
  capset           126  91
  sigaltstack      131 132
  gettid           186 178
  time             201   -
  futex            202  98
  sched_getaffinity 204 123
  sched_getparam 143 121
  sched_getscheduler 145 120
  restart_syscall  219 128
  clock_gettime    228 113
  clock_getres     229 114
  clock_nanosleep  230 115
  exit_group       231  94
  epoll_wait       232   -
  epoll_ctl        233  21
  tgkill           234 131
  ppoll            271  73
  epoll_pwait      281  22
  accept4          288 242
  pipe2            293  59
  prlimit64        302 261
  adjtimex         159 171
  getcpu           309 168
  seccomp          317 277
  getrandom        318 278
  membarrier       324 283
  pkey_mprotect    329 288
  rseq             334 293
  io_uring_setup   425 425
  io_uring_enter   426 426
  io_uring_register 427 427
  epoll_pwait2     441 441
  landlock_create_ruleset 444 444
  landlock_add_rule       445 445
  landlock_restrict_self  446 446
`;

/** The machines with a table here. */
export type Machine = 'x64' | 'arm64';

const numbers: Readonly<Record<Machine, ReadonlyMap<string, number>>> = { x64: column(1), arm64: column(2) };

function column(index: 1 | 2): ReadonlyMap<string, number> {
  const rows = TABLE.trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return new Map(rows.filter((row) => row[index] !== '-').map((row) => [row[0] ?? '', Number(row[index])]));
}

/** The machine this runs on, or undefined when its calls are not known here. */
export function thisMachine(): Machine | undefined {
  if (process.platform !== 'linux') return undefined;
  return process.arch === 'x64' || process.arch === 'arm64' ? process.arch : undefined;
}

/** A call's number on a machine; undefined when the machine has no such call. Throws for a name that is not in the table. */
export function syscallNumberOn(machine: Machine, name: string): number | undefined {
  const number = numbers[machine].get(name);
  if (number === undefined && !numbers.x64.has(name)) throw new Error(`Unknown system call "${name}"`);
  return number;
}

/** A call's number on this machine, for a call that every machine has. */
export function syscallNumber(name: string): number {
  const machine = thisMachine();
  const number = machine && syscallNumberOn(machine, name);
  if (number === undefined)
    throw new Error(`No number for system call "${name}" on ${process.platform} ${process.arch}`);
  return number;
}
