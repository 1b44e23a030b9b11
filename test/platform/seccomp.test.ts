/** The system call filters' verdicts, by a small interpreter, on both machines: the tests here run on only one of them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootFilter, runFilter, SENT_WITH, tarpitFilter } from '../../src/platform/seccomp.ts';
import { type Machine, syscallNumberOn } from '../../src/platform/syscalls.ts';

const ARCHITECTURES = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
const MACHINES = ['x64', 'arm64'] as const;
const PID = 4711;

interface Call {
  readonly machine: Machine;
  readonly number: number;
  readonly args?: readonly number[];
}

/** Runs a filter on a call, as the kernel would (load word, jump if equal, return), and names its verdict. */
function verdict(filter: Uint8Array, { machine, number, args = [] }: Call): string {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, ARCHITECTURES[machine], true);
  args.forEach((value, index) => {
    data.setBigInt64(16 + index * 8, BigInt(value), true);
  });
  const program = new DataView(filter.buffer, filter.byteOffset, filter.length);
  let accumulator = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const k = program.getUint32(at + 4, true);
    switch (program.getUint16(at, true)) {
      case 0x20:
        accumulator = data.getUint32(k, true);
        break;
      case 0x15:
        at += 8 * program.getUint8(at + (accumulator === k ? 2 : 3));
        break;
      case 0x06:
        return { 2147418112: 'allow', 2147483648: 'kill', 327681: 'EPERM', 327718: 'ENOSYS' }[k] ?? String(k);
      default:
        assert.fail(`unknown instruction at ${at / 8}`);
    }
  }
  return assert.fail('the program runs off its end');
}

function call(machine: Machine, name: string, ...args: readonly number[]): Call {
  const number = syscallNumberOn(machine, name);
  assert.ok(number !== undefined, name);
  return { machine, number, args };
}

for (const machine of MACHINES) {
  const run = runFilter(machine, [4, 7], PID);
  const of = (name: string, ...args: readonly number[]): string => verdict(run, call(machine, name, ...args));

  test(`on ${machine}, a running event loop may wait, read, write and end`, () => {
    const calls = [
      'read',
      'epoll_pwait',
      'epoll_ctl',
      'futex',
      'mmap',
      'mprotect',
      'madvise',
      'getsockopt',
      'exit_group',
    ];
    for (const name of calls) assert.equal(of(name), 'allow', name);
    assert.equal(of('write', 3), 'allow');
    assert.equal(of('writev', 5), 'allow');
    assert.equal(of('tgkill', PID, PID, 6), 'allow');
    assert.equal(of('fcntl', 3, 3), 'allow');
    assert.equal(of('ioctl', 3, 0x5421), 'allow');
  });

  test(`on ${machine}, nothing is written to a capture descriptor, whatever the unused half of the argument says`, () => {
    for (const name of ['write', 'writev']) {
      for (const fd of [4, 7, 4 + 2 ** 32, 7 - 2 ** 32]) assert.equal(of(name, fd), 'EPERM', `${name} ${fd}`);
    }
  });

  test(`on ${machine}, signals to others, new descriptors and interface settings are refused`, () => {
    assert.equal(of('tgkill', 1, 1, 9), 'EPERM');
    assert.equal(of('fcntl', 4, 0), 'EPERM');
    assert.equal(of('fcntl', 4, 1030), 'EPERM');
    assert.equal(of('ioctl', 4, 0x8914), 'EPERM');
  });

  test(`on ${machine}, every call that is not on the list is refused`, () => {
    const refused = ['seccomp', 'capset', 'io_uring_setup', 'io_uring_enter', 'landlock_create_ruleset'];
    for (const name of refused) assert.equal(of(name), 'EPERM', name);
    let allowed = 0;
    for (let number = 0; number < 1024; number++) if (verdict(run, { machine, number }) === 'allow') allowed++;
    assert.ok(allowed < 70, `${allowed} calls are allowed`);
    // x32 calls are x86_64 calls with a bit set.
    assert.equal(verdict(run, { machine, number: 0x40000000 }), 'EPERM');
  });

  test(`on ${machine}, a tarpit accepts, sends in one way, closes, and reads its own descriptors alone`, () => {
    const pit = tarpitFilter(machine, [4, 5], { readable: [0, 3, 9], writable: [2, 3, 9] }, PID);
    const may = (name: string, ...args: readonly number[]): string => verdict(pit, call(machine, name, ...args));
    for (const name of ['epoll_pwait', 'epoll_ctl', 'futex', 'mmap', 'close', 'exit_group', 'clock_gettime'])
      assert.equal(may(name), 'allow', name);
    assert.deepEqual(
      [4, 5, 3, 20].map((fd) => may('accept4', fd)),
      ['allow', 'allow', 'EPERM', 'EPERM'],
    );
    assert.deepEqual(
      [SENT_WITH, 0, 0x4000, SENT_WITH | 0x2000_0000].map((flags) => may('sendto', 20, 0, 1, flags)),
      ['allow', 'EPERM', 'EPERM', 'EPERM'],
      'never with MSG_FASTOPEN',
    );
    for (const name of ['read', 'readv'])
      assert.deepEqual(
        [0, 3, 9, 1, 4, 20].map((fd) => may(name, fd)),
        ['allow', 'allow', 'allow', 'EPERM', 'EPERM', 'EPERM'],
        name,
      );
    for (const name of ['write', 'writev'])
      assert.deepEqual(
        [2, 3, 9, 0, 1, 5, 20].map((fd) => may(name, fd)),
        ['allow', 'allow', 'allow', 'EPERM', 'EPERM', 'EPERM', 'EPERM'],
        name,
      );
    for (const name of ['recvfrom', 'pread64', 'getsockopt', 'getpeername', 'shutdown', 'seccomp', 'prlimit64'])
      assert.equal(may(name), 'EPERM', name);
    assert.deepEqual([may('tgkill', PID, PID, 6), may('tgkill', 1, 1, 9)], ['allow', 'EPERM']);
    assert.deepEqual([may('fcntl', 20, 0), may('ioctl', 20, 0x8914)], ['EPERM', 'EPERM']);
    const other = machine === 'x64' ? 'arm64' : 'x64';
    assert.equal(verdict(pit, { machine: other, number: 0 }), 'kill');
    let allowed = 0;
    for (let number = 0; number < 1024; number++) if (verdict(pit, { machine, number }) === 'allow') allowed++;
    assert.ok(allowed < 55, `${allowed} calls are allowed`);
  });

  test(`on ${machine}, a call of the other architecture ends the process`, () => {
    const other = machine === 'x64' ? 'arm64' : 'x64';
    for (const filter of [run, bootFilter(machine)])
      assert.equal(verdict(filter, { machine: other, number: 0 }), 'kill');
  });

  test(`on ${machine}, a program starts without io_uring and with everything else`, () => {
    const boot = bootFilter(machine);
    const rings = ['io_uring_setup', 'io_uring_enter', 'io_uring_register'];
    for (const name of rings) assert.equal(verdict(boot, call(machine, name)), 'ENOSYS', name);
    for (const name of ['read', 'mmap', 'seccomp', 'futex'])
      assert.equal(verdict(boot, call(machine, name)), 'allow', name);
  });
}
