/** The tarpit's cage, tried from inside: `support/confined-pit.ts` has a connection in its hands and does all it can. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { landlockAbi } from '../../src/platform/landlock.ts';
import { bind, close, listen, SystemError, socket } from '../../src/platform/libc.ts';
import type { ConfinementReport } from '../../src/platform/sandbox.ts';
import { thisMachine } from '../../src/platform/syscalls.ts';

const PROGRAM = new URL('../support/confined-pit.ts', import.meta.url).pathname;
const SENT = 'it can send\r\n';
const NOBODY = 65534;
const root = process.getuid?.() === 0;
const account = root ? `${NOBODY}:${NOBODY}` : `${process.getuid?.()}:${process.getgid?.()}`;
const skip = thisMachine() ? false : `no confinement on ${process.platform} ${process.arch}`;

interface Findings {
  readonly pid: number;
  readonly report: ConfinementReport;
  readonly outcomes: Readonly<Record<string, string>>;
  readonly sent: boolean;
}

/** A listening socket on loopback that nobody of this process polls, and its port. */
function listener(): { readonly fd: number; readonly port: number } {
  const fd = socket(2, 1 | 0o4000 | 0o2000000, 0);
  for (let port = 20_000 + (process.pid % 10_000); ; port++) {
    try {
      bind(fd, new Uint8Array([2, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
      listen(fd, 8);
      return { fd, port };
    } catch (error) {
      if (!(error instanceof SystemError && error.code === 'EADDRINUSE')) throw error;
    }
  }
}

test('code inside the tarpit can send to whom it holds, and nothing else', { skip }, async (t) => {
  const pit = listener();
  const other = createServer((client) => client.destroy()).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const victim = spawn('sleep', ['60'], { stdio: 'ignore', ...(root ? { uid: NOBODY, gid: NOBODY } : {}) });
  const args = [PROGRAM, String(victim.pid), String((other.address() as AddressInfo).port), account];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', pit.fd, ...Array<'ignore'>(35).fill('ignore'), pit.fd],
    env: {},
    cwd: '/',
  });
  let complaints = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const channel = child.stdio[3] as Duplex;
  channel.on('error', () => {});
  const stranger = connect(pit.port, '127.0.0.1').setEncoding('latin1');
  t.after(() => {
    for (const each of [victim, child]) each.kill('SIGKILL');
    channel.destroy();
    stranger.destroy();
    other.close();
    close(pit.fd);
  });
  stranger.on('error', () => {});
  stranger.write('SSH-2.0-stranger\r\n');
  let heard = '';
  stranger.on('data', (text: string) => {
    heard += text;
  });
  const line = await createInterface({ input: channel })[Symbol.asyncIterator]().next();
  assert.ok(!line.done, `ended early: ${complaints}`);
  const { pid, report, outcomes, sent } = JSON.parse(line.value) as Findings;
  t.diagnostic(`Landlock ${report.landlock}, seccomp ${report.seccomp}: ${report.notes.join('; ') || 'no notes'}`);
  assert.deepEqual([report.noNewPrivs, report.capabilities], [true, 'none']);
  if (root) assert.equal(report.uid, NOBODY);
  assert.equal(report.landlock, landlockAbi());
  assert.equal(report.seccomp, existsSync('/proc/sys/kernel/seccomp/actions_avail'));
  if (!report.seccomp) return t.diagnostic('What the system call filter forbids was not tried: there is none');
  for (const [name, code] of Object.entries(outcomes)) {
    assert.match(code, name === 'use io_uring' ? /^(EPERM|ENOSYS)$/ : /^(EPERM|EACCES|EBADF)$/, name);
  }
  assert.equal(victim.exitCode ?? victim.signalCode, null, 'the other process is untouched');
  const limits = readFileSync(`/proc/${pid}/limits`, 'latin1');
  for (const name of ['core file size', 'file size', 'processes'])
    assert.match(limits, new RegExp(`^Max ${name} +0 +0 `, 'm'));
  assert.match(limits, /^Max open files +72 +72 /m);
  assert.equal(sent, true);
  if (heard === '') await once(stranger, 'data');
  assert.equal(heard, SENT);
});
