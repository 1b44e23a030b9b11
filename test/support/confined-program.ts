/**
 * A stand-in for the watcher that goes through both stages of the confinement and then tries everything it must not be able to
 * do, from the main thread and from libuv's pool, with descriptor 3 as the line to the test and 4 as the capture descriptor.
 *
 * `confined-program.ts VICTIM RING PORT UID:GID` starts it; VICTIM is a process id to aim at, RING is `ring` when descriptor 4 has
 * one, PORT accepts TCP on loopback. It says `{ pid, before, report, after }` on one line and then obeys: `collect`, `count`,
 * `rearm`, `spin`, `exit`, `throw`, `abort`.
 */

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { fstatSync, mkdirSync, promises, readFileSync, statSync, writeFileSync, writeSync, writevSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import {
  addressOf,
  dup2,
  mmapShared,
  SystemError,
  sendto,
  setsockopt,
  socket,
  syscall,
  watchReadable,
} from '../../src/platform/libc.ts';
import { BLOCK_COUNT, BLOCK_SIZE } from '../../src/platform/packet-socket.ts';
import { confine, enterConfinedRuntime } from '../../src/platform/sandbox.ts';

const CHANNEL = 3;
const CAPTURE = 4;
const SOL_SOCKET = 1;
const SO_DETACH_FILTER = 27;

const root = new URL('../..', import.meta.url).pathname;
const script = new URL(import.meta.url).pathname;
const inside = process.argv[2] === 'inside';
const [victimText, ring, portText, account = ''] = process.argv.slice(inside ? 3 : 2);
const victim = Number(victimText);
const port = Number(portText);
const [uid = 0, gid = 0] = account.split(':').map(Number);

if (!inside) {
  const readable = [`${root}src`, `${root}test/support`, `${root}package.json`];
  enterConfinedRuntime({
    script,
    args: ['inside', ...process.argv.slice(2)],
    readable,
    descriptors: [CHANNEL, CAPTURE],
    parent: process.ppid,
    account: { uid, gid },
  });
}

type Outcomes = Record<string, string>;

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
const packet = new Uint8Array(64);

/** What stage 1 alone forbids. */
const early: Readonly<Record<string, () => unknown>> = {
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

/** What the whole confinement forbids. */
const late: Readonly<Record<string, () => unknown>> = {
  ...early,
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
  'take the filter off': () => setsockopt(CAPTURE, SOL_SOCKET, SO_DETACH_FILTER, new Uint8Array(4)),
  'send on the capture descriptor': () => sendto(CAPTURE, packet, 0),
  'write to standard input': () => writeSync(0, packet),
  'write to standard output': () => writeSync(1, packet),
  'write to the capture descriptor': () => writeSync(CAPTURE, packet),
  'write pieces to the capture descriptor': () => writevSync(CAPTURE, [packet, packet]),
  'write to the capture descriptor from the pool': () =>
    new Promise<void>((resolve, reject) => {
      import('node:fs').then(({ write }) => write(CAPTURE, packet, (error) => (error ? reject(error) : resolve())));
    }),
  'give the capture descriptor another number': () => dup2(CAPTURE, 60),
  'duplicate the capture descriptor with fcntl': () => machineCall('fcntl', 72, 25, CAPTURE, 0, 60),
  'send a message with descriptors': () => machineCall('sendmsg', 46, 211, CHANNEL, 0, 0),
  'make an anonymous file': () => machineCall('memfd_create', 319, 279, addressOf(shellPath), 0),
  'change its process settings': () => machineCall('prctl', 157, 167, 4, 1, 0, 0, 0),
  'get a new user namespace': () => machineCall('unshare', 272, 97, 0x10000000),
  fork: () => machineCall('clone', 56, 220, 17, 0, 0, 0, 0),
  'load a module': () => import('../../src/core/door.ts'),
  'start a worker thread': () => {
    const worker = new Worker('', { eval: true });
    return events(worker, 'online');
  },
};

async function tryAll(attempts: Readonly<Record<string, () => unknown>>): Promise<Outcomes> {
  const outcomes: Outcomes = {};
  for (const [name, attempt] of Object.entries(attempts)) outcomes[name] = await outcome(attempt);
  return outcomes;
}

/** Garbage of every kind, and code hot enough to be compiled: enough for collections in both generations. */
function collect(): number {
  let kept: unknown[] = [];
  let sum = 0;
  for (let round = 0; round < 400_000; round++) {
    kept.push({ round, text: `round ${round}`, bytes: new Uint8Array(round % 512) });
    if (kept.length === 20_000) kept = kept.slice(15_000);
    sum += round % 7;
  }
  for (let round = 0; round < 50; round++) kept.push(new ArrayBuffer(4 << 20));
  return sum;
}

const channel = new Socket({ fd: CHANNEL });
const memory = ring === 'ring' ? new Uint32Array(mmapShared(CAPTURE, BLOCK_SIZE * BLOCK_COUNT)) : undefined;
let wakeups = 0;
let ticks = 0;
const watchCapture = () =>
  watchReadable(
    CAPTURE,
    () => {
      wakeups++;
      watch.close();
    },
    () => watch.close(),
  );
let watch = watchCapture();
setInterval(() => ticks++, 1);

const before = await tryAll(early);
const report = confine({ packetDescriptors: [CAPTURE], account: { uid, gid } });
const after = await tryAll(late);
const say = (value: unknown): void => void channel.write(`${JSON.stringify(value)}\n`);
say({ pid: process.pid, before, report, after });

/** Blocks of the ring that hold packets. */
function filledBlocks(words: Uint32Array): number {
  let filled = 0;
  for (let block = 0; block < BLOCK_COUNT; block++) filled += (words[(block * BLOCK_SIZE + 8) / 4] ?? 0) & 1;
  return filled;
}

channel.on('end', () => process.exit(0));
channel.on('data', (chunk) => {
  switch (chunk.toString().trim()) {
    case 'collect':
      say({ sum: collect() });
      break;
    case 'count':
      say({ wakeups, ticks, filled: memory ? filledBlocks(memory) : undefined });
      break;
    case 'rearm':
      watch.close();
      watch = watchCapture();
      say({});
      break;
    case 'spin':
      writeSync(CHANNEL, '{}\n');
      for (;;);
    case 'exit':
      process.exit(7);
      break;
    case 'abort':
      process.abort();
      break;
    case 'throw':
      throw new Error('as ordered');
  }
});
