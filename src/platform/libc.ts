/**
 * The only file that calls the C library (koffi). Everything here is a thin, typed wrapper: same names, same arguments, and a
 * `SystemError` instead of -1 and errno. What the calls mean together is written where they are used.
 *
 * Buffers whose address the kernel keeps (an mmap, an iovec) must stay referenced by the caller: koffi does not hold them.
 */

import koffi from 'koffi';

const lib = koffi.load(null);

/** A system call that failed: which one, and the errno name (`EPERM`), for messages and for callers that branch on it. */
export class SystemError extends Error {
  readonly call: string;
  readonly code: string;
  readonly errno: number;

  constructor(call: string, errno: number) {
    const code = nameOfErrno(errno);
    super(`${call}: ${describeErrno(errno)}`);
    this.name = 'SystemError';
    this.call = call;
    this.code = code;
    this.errno = errno;
  }
}

const errnoNames = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));

function nameOfErrno(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

const strerror = lib.func('const char *strerror(int errnum)') as (errnum: number) => string;

/** The C library's text for an errno, e.g. `No such device`. */
export function describeErrno(errno: number): string {
  return strerror(errno);
}

function check(call: string, result: number): number {
  if (result < 0) throw new SystemError(call, koffi.errno());
  return result;
}

/** Looks a function up when it is first called: a C library that lacks some (macOS has no prctl) still serves the others. */
function bound(definition: string): ReturnType<typeof lib.func> {
  let found: ReturnType<typeof lib.func> | undefined;
  return ((...args: unknown[]) => {
    found ??= lib.func(definition);
    return found(...args);
  }) as ReturnType<typeof lib.func>;
}

const c = {
  socket: bound('int socket(int domain, int type, int protocol)'),
  bind: bound('int bind(int fd, const void *addr, uint32_t length)'),
  listen: bound('int listen(int fd, int backlog)'),
  accept4: bound('int accept4(int fd, _Out_ void *addr, _Inout_ uint32_t *length, int flags)'),
  connect: bound('int connect(int fd, const void *addr, uint32_t length)'),
  setsockopt: bound('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  getsockopt: bound('int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32_t *length)'),
  sendto: bound(
    'long sendto(int fd, const void *data, size_t length, int flags, const void *addr, uint32_t addrLength)',
  ),
  recv: bound('long recv(int fd, _Out_ void *data, size_t length, int flags)'),
  mmap: bound('void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)'),
  ifNameToIndex: bound('unsigned int if_nametoindex(const char *name)'),
  getifaddrs: bound('int getifaddrs(_Out_ void **list)'),
  freeifaddrs: bound('void freeifaddrs(void *list)'),
  flock: bound('int flock(int fd, int operation)'),
  close: bound('int close(int fd)'),
  fcntl: bound('int fcntl(int fd, int command, ...)'),
  prctl: bound('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)'),
  dup2: bound('int dup2(int from, int to)'),
  posixSpawn: bound(
    'int posix_spawn(_Out_ int *pid, const char *file, const void *actions, const void *attributes, const char **argv, const char **envp)',
  ),
  spawnActionsInit: bound('int posix_spawn_file_actions_init(void *actions)'),
  spawnActionsDup2: bound('int posix_spawn_file_actions_adddup2(void *actions, int from, int to)'),
  spawnAttributesInit: bound('int posix_spawnattr_init(void *attributes)'),
  spawnAttributesFlags: bound('int posix_spawnattr_setflags(void *attributes, short flags)'),
  spawnAttributesDefault: bound('int posix_spawnattr_setsigdefault(void *attributes, const void *signals)'),
  spawnAttributesMask: bound('int posix_spawnattr_setsigmask(void *attributes, const void *signals)'),
  waitpid: bound('int waitpid(int pid, _Out_ int *status, int options)'),
  syscall: bound('long syscall(long number, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e)'),
};

/** What a call that runs may point to: an address alone does not keep a buffer from being collected. */
const held = { args: [] as readonly unknown[] };

export function socket(domain: number, type: number, protocol: number): number {
  return check('socket', c.socket(domain, type, protocol));
}

export function bind(fd: number, address: Uint8Array): void {
  check('bind', c.bind(fd, address, address.length));
}

export function listen(fd: number, backlog: number): void {
  check('listen', c.listen(fd, backlog));
}

/** The next connection of a listening socket, and who it is: `address` is filled with a struct sockaddr. Linux only. */
export function accept4(fd: number, address: Uint8Array, flags: number): number {
  return check('accept4', c.accept4(fd, address, [address.length], flags));
}

export function connect(fd: number, address: Uint8Array): void {
  check('connect', c.connect(fd, address, address.length));
}

/** Buffers that `value` points to are named in `pointed`, which keeps them from being collected during the call. */
export function setsockopt(fd: number, level: number, name: number, value: Uint8Array, ...pointed: Uint8Array[]): void {
  held.args = pointed;
  try {
    check('setsockopt', c.setsockopt(fd, level, name, value, value.length));
  } finally {
    held.args = [];
  }
}

/** Fills `value` and returns how many bytes the kernel wrote. */
export function getsockopt(fd: number, level: number, name: number, value: Uint8Array): number {
  const length = [value.length];
  check('getsockopt', c.getsockopt(fd, level, name, value, length));
  return length[0] ?? 0;
}

/** Sends one datagram, to `address` or to where the socket is connected; returns the bytes sent. */
export function sendto(fd: number, data: Uint8Array, flags: number, address?: Uint8Array): number {
  return check('sendto', Number(c.sendto(fd, data, data.length, flags, address ?? null, address?.length ?? 0)));
}

/** Receives into `data`; returns the bytes received. */
export function recv(fd: number, data: Uint8Array, flags: number): number {
  return check('recv', Number(c.recv(fd, data, data.length, flags)));
}

/** Maps `length` bytes of `fd` shared, readable and writable. Never touch the result after the process unmapped it. */
export function mmapShared(fd: number, length: number): ArrayBuffer {
  const PROT_READ_WRITE = 3;
  const MAP_SHARED = 1;
  const pointer: unknown = c.mmap(null, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  if (koffi.address(pointer) === 0xffff_ffff_ffff_ffffn) throw new SystemError('mmap', koffi.errno());
  return koffi.view(pointer, length);
}

/** The kernel's number for an interface in this network namespace; 0 when there is none of that name. */
export function interfaceIndex(name: string): number {
  return c.ifNameToIndex(name);
}

/** Takes the exclusive advisory lock on an open file without waiting; false when somebody else holds it. */
export function tryLock(fd: number): boolean {
  const LOCK_EX_NB = 2 | 4;
  if (c.flock(fd, LOCK_EX_NB) === 0) return true;
  const error = new SystemError('flock', koffi.errno());
  if (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK') return false;
  throw error;
}

export function close(fd: number): void {
  check('close', c.close(fd));
}

export function prctl(option: number, a = 0, b = 0, c2 = 0, d = 0): number {
  return check(`prctl ${option}`, c.prctl(option, a, b, c2, d));
}

/** Makes descriptor `to` another name of `from`, closing what it was. */
export function dup2(from: number, to: number): void {
  check('dup2', c.dup2(from, to));
}

/** Whether a descriptor is closed when this process executes another program. Node has it so, when it starts, for most but 0-2. */
export function closeOnExec(fd: number, closed: boolean): void {
  const F_SETFD = 2;
  const FD_CLOEXEC = 1;
  check('fcntl', c.fcntl(fd, F_SETFD, 'int', closed ? FD_CLOEXEC : 0));
}

/** Larger than posix_spawnattr_t and posix_spawn_file_actions_t in glibc and musl, on all machines. */
const SPAWN_BYTES = 512;
const SIGSET_BYTES = 128;

let spawnSettings: { readonly actions: Uint8Array; readonly attributes: Uint8Array } | undefined;

/** A session of its own, no signal blocked or ignored, descriptors 0 to 2 kept although Node marks them to be closed. */
function settingsForSession(): { readonly actions: Uint8Array; readonly attributes: Uint8Array } {
  const POSIX_SPAWN_SETSIGDEF = 0x04;
  const POSIX_SPAWN_SETSIGMASK = 0x08;
  const POSIX_SPAWN_SETSID = 0x80;
  const actions = new Uint8Array(SPAWN_BYTES);
  c.spawnActionsInit(actions);
  for (const fd of [0, 1, 2]) c.spawnActionsDup2(actions, fd, fd);
  const attributes = new Uint8Array(SPAWN_BYTES);
  c.spawnAttributesInit(attributes);
  c.spawnAttributesFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  c.spawnAttributesDefault(attributes, new Uint8Array(SIGSET_BYTES).fill(0xff));
  c.spawnAttributesMask(attributes, new Uint8Array(SIGSET_BYTES));
  return { actions, attributes };
}

/** Starts a program by posix_spawn(3) in a session of its own, with descriptors 0 to 2; returns its process id. Linux only. */
export function spawnSession(file: string, argv: readonly string[], env: readonly string[]): number {
  spawnSettings ??= settingsForSession();
  const { actions, attributes } = spawnSettings;
  const pid = [0];
  const errno = c.posixSpawn(pid, file, actions, attributes, [...argv, null], [...env, null]) as number;
  if (errno !== 0) throw new SystemError('posix_spawn', errno);
  return pid[0] ?? 0;
}

/** Waits for a child to end; its wait status (wait(2)). */
export function waitpid(pid: number): number {
  const status = [0];
  check('waitpid', c.waitpid(pid, status, 0));
  return status[0] ?? 0;
}

/** Collects a child if it has ended: its wait status (wait(2)); undefined while it runs. */
export function collectChild(pid: number): number | undefined {
  const WNOHANG = 1;
  const status = [0];
  return check('waitpid', c.waitpid(pid, status, WNOHANG)) === 0 ? undefined : (status[0] ?? 0);
}

/** The head of struct ifaddrs, getifaddrs(3); what follows does not matter here. */
const IFADDRS = koffi.struct({ next: 'void *', name: 'const char *', flags: 'unsigned int', address: 'void *' });
const SOCKADDR = koffi.array('uint8_t', 28, 'Typed');

/** Every address of every interface: its name and its struct sockaddr, at most 28 bytes of it, in the system's order. */
export function interfaceAddresses(): readonly { readonly name: string; readonly address: Uint8Array }[] {
  const head: unknown[] = [null];
  check('getifaddrs', c.getifaddrs(head));
  const found: { name: string; address: Uint8Array }[] = [];
  try {
    for (let entry = head[0]; entry; ) {
      const { next, name, address } = koffi.decode(entry, IFADDRS) as { next: unknown; name: string; address: unknown };
      if (address) {
        found.push({ name, address: koffi.decode(address, SOCKADDR) as Uint8Array });
      }
      entry = next;
    }
  } finally {
    c.freeifaddrs(head[0]);
  }
  return found;
}

/**
 * A system call the C library has no wrapper for. A buffer is passed as its address and held until the call is over; buffers that
 * it points to have to be among the arguments, too: the kernel ignores those that a call does not have.
 */
export function syscall(name: string, number: number, ...args: readonly (number | bigint | Uint8Array)[]): number {
  held.args = args;
  const [a = 0, b = 0, d = 0, e = 0, f = 0] = args.map((value) =>
    value instanceof Uint8Array ? addressOf(value) : value,
  );
  try {
    return check(name, Number(c.syscall(number, a, b, d, e, f)));
  } finally {
    held.args = [];
  }
}

/** Where a buffer's bytes are, for structures that hold pointers. Keep the buffer referenced until after the call. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

/** What `watchReadable` returns: keep a reference, or the watch is collected and goes silent. */
export interface ReadableWatch {
  close(): void;
}

/**
 * Calls `readable` whenever the descriptor has something to read (level-triggered, on the event loop); what it throws is an
 * uncaught exception. After an error condition
 * on the descriptor the event loop stops watching it and calls `failed` once: clear the error and watch anew.
 */
export function watchReadable(fd: number, readable: () => void, failed: () => void): ReadableWatch {
  // The typings name one argument; the real ones are libuv's: a status, negative after an error, and the events.
  const handle = koffi.node.poll(fd, { readable: true }, ((status: number) => {
    try {
      if (status < 0) failed();
      else readable();
    } catch (error) {
      // Here it would be lost: what is broken is to end the process, as anywhere else.
      setImmediate(() => {
        throw error;
      });
    }
    // Poll callbacks run outside Node's callback scope: without this, promises started in one wait for the next event.
    setImmediate(() => {});
  }) as unknown as () => void);
  return { close: () => handle.close() };
}
