/**
 * The confinement, tried from inside: `support/confined-program.ts` goes through both stages and then does all it can.
 *
 * As root, descriptor 4 is a packet socket with a ring on loopback and the program ends up as nobody, whether it was started as
 * root or as nobody; without root it is a UDP socket, and the program runs as ourselves without a ring.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { landlockAbi } from '../../src/platform/landlock.ts';
import { close, socket } from '../../src/platform/libc.ts';
import { bindToInterface, openPacketSocket } from '../../src/platform/packet-socket.ts';
import type { ConfinementReport } from '../../src/platform/sandbox.ts';
import { thisMachine } from '../../src/platform/syscalls.ts';

const NOBODY = 65534;
const PROGRAM = new URL('../support/confined-program.ts', import.meta.url).pathname;
const root = process.getuid?.() === 0;
const account = root ? `${NOBODY}:${NOBODY}` : `${process.getuid?.()}:${process.getgid?.()}`;
const skip = thisMachine() ? false : `no confinement on ${process.platform} ${process.arch}`;

interface Findings {
  readonly pid: number;
  readonly before: Readonly<Record<string, string>>;
  readonly report: ConfinementReport;
  readonly after: Readonly<Record<string, string>>;
}

interface Confined {
  readonly findings: Findings;
  readonly process: ChildProcess;
  /** Gives an order and reads the one-line answer. */
  ask(order: string): Promise<Readonly<Record<string, number>>>;
  /** Gives an order that ends the program: exit status, signal, standard error. */
  finish(
    order: string,
  ): Promise<{ readonly status: number | null; readonly signal: string | null; readonly stderr: string }>;
}

interface Start {
  readonly ids?: { readonly uid: number; readonly gid: number };
  /** Put another process between: it starts the program and waits. */
  readonly between?: boolean;
}

const RELAY =
  'require("node:child_process").spawn(process.execPath, process.argv.slice(1), { stdio: ["ignore", "ignore", "inherit", 3, 4] })';

async function start(t: TestContext, { ids = undefined, between = false }: Start = {}): Promise<Confined> {
  const capture = root ? openPacketSocket(Uint8Array.of(6, 0, 0, 0, 0xff, 0xff, 0, 0)) : socket(2, 2, 0);
  if (root) bindToInterface(capture, 'lo');
  const victim = spawn('sleep', ['60'], { stdio: 'ignore', ...(root ? { uid: NOBODY, gid: NOBODY } : {}) });
  const server = createServer((client) => client.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const args = [PROGRAM, String(victim.pid), root ? 'ring' : 'plain', String(port), account];
  const child = spawn(process.execPath, between ? ['-e', RELAY, '--', ...args] : args, {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', capture, ...Array<'ignore'>(35).fill('ignore'), capture],
    env: {},
    cwd: '/',
    ...ids,
  });
  const channel = child.stdio[3] as Duplex;
  channel.on('error', () => {});
  const lines = createInterface({ input: channel })[Symbol.asyncIterator]();
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close') as Promise<[number | null, string | null]>;
  t.after(() => {
    victim.kill('SIGKILL');
    child.kill('SIGKILL');
    channel.destroy();
    server.close();
    close(capture);
  });
  const answer = async <T>(): Promise<T> => {
    const line = await lines.next();
    assert.ok(!line.done, `ended early: ${stderr}`);
    return JSON.parse(line.value) as T;
  };
  const findings = await answer<Findings>();
  assert.equal(victim.exitCode ?? victim.signalCode, null, 'the other process is untouched');
  return {
    findings,
    process: child,
    ask: (order) => {
      channel.write(order);
      return answer();
    },
    finish: async (order) => {
      channel.write(order);
      const [status, signal] = await ended;
      return { status, signal, stderr };
    },
  };
}

const NO_CAPABILITY = '0'.repeat(16);
/** What /proc says of a thread that is held in every way: filtered (2), and without a capability. */
const EMPTY_HANDED = { NoNewPrivs: '1', Seccomp: '2', CapPrm: NO_CAPABILITY, CapInh: NO_CAPABILITY };
const ALL_NOBODY = Array(4).fill(NOBODY).join('\t');

/** The ways to start: as whoever runs the tests, and as root also straight under the other user id, as without CAP_SETUID. */
const starts: readonly { readonly name: string; readonly start: Start; readonly skip: string | false }[] = [
  { name: root ? 'started as root' : 'started without privilege', start: {}, skip },
  {
    name: 'started as another user',
    start: { ids: { uid: NOBODY, gid: NOBODY } },
    skip: skip || (root ? unreadable() : 'needs root'),
  },
];

/** Why nobody could not even load the program, if so. */
function unreadable(): string | false {
  for (const file of [PROGRAM, process.execPath]) {
    for (let folder = dirname(file); folder !== dirname(folder); folder = dirname(folder)) {
      if ((statSync(folder).mode & 0o001) === 0) return `${folder} is closed to others`;
    }
  }
  return false;
}

/** The fields of /proc/PID/task/TID/status of every thread; none when they are hidden from us. */
function threadsOf(pid: number): readonly Readonly<Record<string, string>>[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    return Object.fromEntries([...text.matchAll(/^(\w+):\t?(.*)$/gm)].map((field) => [field[1] ?? '', field[2] ?? '']));
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

for (const way of starts) {
  test(`a confined program, ${way.name}, can do nothing but read its descriptors`, { skip: way.skip }, async (t) => {
    const { findings } = await start(t, way.start);
    const { report, before, after, pid } = findings;
    t.diagnostic(`Landlock ${report.landlock}, seccomp ${report.seccomp}: ${report.notes.join('; ') || 'no notes'}`);
    assert.equal(report.noNewPrivs, true);
    assert.equal(report.capabilities, 'none');
    if (root) assert.equal(report.uid, NOBODY);

    assert.equal(report.landlock, landlockAbi());
    assert.equal(report.seccomp, existsSync('/proc/sys/kernel/seccomp/actions_avail'));
    const landlock = report.landlock ?? 0;
    const early = Object.entries(before).filter(
      ([name]) => landlock >= (name.includes('TCP') ? 4 : name.includes('signal') ? 6 : 1) && name !== 'use io_uring',
    );
    for (const [name, code] of early) assert.match(code, /^(EACCES|EPERM|EBADF)$/, `stage one: ${name}`);
    if (landlock < 6) t.diagnostic(`Not every thing that stage one forbids was tried: Landlock ${landlock}`);
    if (!report.seccomp) return t.diagnostic('What the system call filter forbids was not tried: there is none');

    const limits = readFileSync(`/proc/${pid}/limits`, 'latin1');
    for (const name of ['core file size', 'file size', 'processes']) {
      assert.match(limits, new RegExp(`^Max ${name} +0 +0 `, 'm'));
    }
    assert.match(limits, /^Max open files +256 +256 /m);

    assert.equal(before['use io_uring'], 'ENOSYS');
    for (const [name, code] of Object.entries(after)) {
      assert.match(code, /^(EPERM|EBADF|ERR_MODULE_NOT_FOUND|ERR_WORKER_INIT_FAILED)$/, name);
    }
    for (const { Name = '', NoNewPrivs, Seccomp, CapPrm, CapInh, Uid, Gid, Groups } of threadsOf(pid)) {
      assert.deepEqual({ NoNewPrivs, Seccomp, CapPrm, CapInh }, EMPTY_HANDED, Name);
      if (root)
        assert.deepEqual({ Uid, Gid, Groups: Groups?.trim() }, { Uid: ALL_NOBODY, Gid: ALL_NOBODY, Groups: '' }, Name);
    }
  });
}

test('a confined program goes on reading, waiting, allocating and collecting', { skip }, async (t) => {
  const confined = await start(t);
  const first = await confined.ask('count');
  await confined.ask('rearm');
  await confined.ask('collect');
  const sender = createSocket('udp4');
  t.after(() => sender.close());
  const seen = root
    ? (counts: Readonly<Record<string, number>>) => (counts.wakeups ?? 0) > (first.wakeups ?? 0)
    : () => true;
  let counts = first;
  for (let round = 0; round < 200 && !(seen(counts) && (counts.ticks ?? 0) > (first.ticks ?? 0)); round++) {
    await new Promise((resolve) => sender.send('x', 9, '127.0.0.1', resolve));
    counts = await confined.ask('count');
  }
  assert.ok((counts.ticks ?? 0) > (first.ticks ?? 0), 'timers run');
  assert.ok(seen(counts), 'the capture descriptor wakes it');
  if (root) assert.ok((counts.filled ?? 0) > 0, 'the ring fills');
});

test('a confined program can exit with a status', { skip }, async (t) => {
  assert.deepEqual(await (await start(t)).finish('exit'), { status: 7, signal: null, stderr: '' });
});

test('an uncaught exception ends a confined program, with its message', { skip }, async (t) => {
  const { status, stderr } = await (await start(t)).finish('throw');
  assert.equal(status, 1);
  assert.match(stderr, /Error: as ordered/);
});

test('a confined program can abort', { skip }, async (t) => {
  assert.equal((await (await start(t)).finish('abort')).signal, 'SIGABRT');
});

test('a confined program dies with its parent, even in an endless loop', { skip, timeout: 60_000 }, async (t) => {
  const confined = await start(t, { between: true });
  const { pid } = confined.findings;
  t.after(() => isAlive(pid) && process.kill(pid, 'SIGKILL'));
  await confined.ask('spin');
  const channelEnds = once(confined.process.stdio[3] as Duplex, 'close');
  confined.process.kill('SIGKILL');
  await channelEnds;
});
