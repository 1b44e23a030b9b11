/**
 * A stand-in for a captured tarpit: goes through both stages of its confinement, takes one connection, tries everything that it must not be
 * able to do with it and besides it, and then does the one thing that it may: send.
 *
 * `confined-pit.ts VICTIM PORT UID:GID` starts it; VICTIM is a process id to aim at, PORT accepts TCP on loopback, descriptor 4 listens. It says
 * `{ report, outcomes }` on descriptor 3, one line, after it has sent `SENT`.
 */

import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { fstatSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import {
  accept4,
  addressOf,
  bind,
  dup2,
  listen,
  recv,
  SystemError,
  sendto,
  setsockopt,
  socket,
  syscall,
  watchReadable,
} from '../../src/platform/libc.ts';
import { enterConfinedRuntime } from '../../src/platform/sandbox.ts';
import { acceptTcp, sendTcp } from '../../src/platform/tcp-listener.ts';
import { shutIn } from '../../src/tarpit/shut-in.ts';

const CHANNEL = 3;
const LISTENER = 4;
const MSG_FASTOPEN = 0x2000_0000;
const SENT = 'it can send\r\n';

const root = new URL('../..', import.meta.url).pathname;
const inside = process.argv[2] === 'inside';
const [victimText, portText, account = ''] = process.argv.slice(inside ? 3 : 2);
const [uid = 0, gid = 0] = account.split(':').map(Number);
const victim = Number(victimText);
const port = Number(portText);

if (!inside) {
  enterConfinedRuntime({
    script: new URL(import.meta.url).pathname,
    args: ['inside', ...process.argv.slice(2)],
    readable: [`${root}src`, `${root}test/support`, `${root}package.json`],
    descriptors: [CHANNEL, LISTENER],
    parent: process.ppid,
    account: { uid, gid },
  });
}

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

const bytes = new Uint8Array(64);
const shell = new TextEncoder().encode('/bin/true\0');
const loopback = new Uint8Array([2, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);

const attempts = (held: number): Readonly<Record<string, () => unknown>> => ({
  'read a file': () => readFileSync('/etc/passwd'),
  'write a file': () => writeFileSync(`/tmp/postern-pit-${process.pid}`, 'x'),
  'look at a file': () => statSync('/etc/passwd'),
  'start a program': () => {
    const { error } = spawnSync('/bin/true');
    if (error) throw error;
  },
  'execute a program': () => machineCall('execve', 59, 221, addressOf(shell), 0, 0),
  fork: () => machineCall('clone', 56, 220, 17, 0, 0, 0, 0),
  'connect with TCP': () => {
    const client = connect(port, '127.0.0.1');
    return events(client, 'connect').finally(() => client.destroy());
  },
  'listen with TCP': () => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    return events(server, 'listening').finally(() => server.close());
  },
  'open a UDP socket': () => {
    const udp = createSocket('udp4');
    return new Promise<void>((resolve, reject) => {
      udp.once('error', reject);
      udp.bind(0, '127.0.0.1', resolve);
    }).finally(() => udp.close());
  },
  'open a TCP socket': () => socket(2, 1, 0),
  'open a packet socket': () => socket(17, 3, 0),
  'open a netlink socket': () => socket(16, 3, 0),
  'trace another process': () => machineCall('ptrace', 101, 117, 16, victim, 0, 0),
  'signal another process': () => process.kill(victim, 'SIGCONT'),
  'signal its parent': () => process.kill(process.ppid, 0),
  'make an anonymous file': () => machineCall('memfd_create', 319, 279, addressOf(shell), 0),
  'use io_uring': () => syscall('io_uring_setup', 425, 1, addressOf(new Uint8Array(120))),
  'use a descriptor that was not handed on': () => fstatSync(40),
  'read what a stranger sent': () => readSync(held, bytes),
  'receive what a stranger sent': () => recv(held, bytes, 0),
  'write to a stranger in another way': () => writeSync(held, bytes),
  'send so that it connects': () => sendto(held, bytes, MSG_FASTOPEN, loopback),
  'connect by the listener': () => sendto(LISTENER, bytes, MSG_FASTOPEN, loopback),
  'accept from something else': () => accept4(CHANNEL, bytes, 0),
  'read from the listener': () => readSync(LISTENER, bytes),
  'bind the listener elsewhere': () => bind(LISTENER, loopback),
  'let more wait at the listener': () => listen(LISTENER, 4096),
  'change a socket': () => setsockopt(held, 1, 8, new Uint8Array(4)),
  'give a stranger another number': () => dup2(held, 60),
  'give a stranger away': () => machineCall('sendmsg', 46, 211, CHANNEL, 0, 0),
});

const channel = new Socket({ fd: CHANNEL });
channel.on('close', () => process.exit(0));
const report = shutIn([LISTENER], 8, { uid, gid });

const watch = watchReadable(
  LISTENER,
  () => void setImmediate(serve),
  () => process.exit(1),
);

async function serve(): Promise<void> {
  const found = acceptTcp(LISTENER);
  if (found === undefined) return;
  watch.close();
  const outcomes: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts(found.descriptor))) outcomes[name] = await outcome(attempt);
  const sent = sendTcp(found.descriptor, new TextEncoder().encode(SENT));
  channel.write(`${JSON.stringify({ pid: process.pid, report, outcomes, sent })}\n`);
}
