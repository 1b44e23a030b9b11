/** A real zygote and what it starts: the tarpit, which is up and answers without anybody's packets. */

import assert from 'node:assert/strict';
import { closeSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeOrder } from '../../src/core/messages.ts';
import { decodeTarpitReport, type TarpitReport } from '../../src/core/tarpit-messages.ts';
import { startZygote, Zygote } from '../../src/keeper/zygote.ts';
import { tarpitAccount } from '../../src/platform/accounts.ts';
import type { ConnectedProgram } from '../../src/platform/process.ts';
import { bindTcp, listenTcp } from '../../src/platform/tcp-listener.ts';
import { after as afterDelay } from '../../src/platform/timer.ts';

const skip =
  process.platform === 'linux' && process.getuid?.() === 0 ? false : 'needs Linux, and root for the change of user';

const LIMITS = { connections: 4, perSource: 2, every: 1000, duration: 10_000, ipv6Prefix: 64 };

describe('a zygote', { skip }, () => {
  let zygote: Zygote;
  let listeners: readonly number[];
  let losses: string[];
  const opened: Readable[] = [];
  let timers: { readonly delay: number; readonly call: () => void; cancelled: boolean }[];

  beforeEach(async () => {
    losses = [];
    timers = [];
    const line = await startZygote(afterDelay);
    assert.ok(line);
    zygote = new Zygote(line, {
      after: (delay, call) => {
        const timer = { delay, call, cancelled: false };
        timers.push(timer);
        return () => {
          timer.cancelled = true;
        };
      },
      over: (reason) => losses.push(reason),
    });
    listeners = bindTcp(0);
    listenTcp(listeners);
  });
  afterEach(() => {
    zygote.close();
    // What a test has left of it keeps nobody waiting; its children die with it.
    kill(zygote.pid);
    for (const stream of opened.splice(0)) stream.destroy();
    for (const fd of listeners) closeSync(fd);
  });

  // A closed watch of a descriptor may keep the event loop for good; a daemon ends by itself.
  after(() => void setTimeout(() => process.exit(), 1000).unref());

  const kill = (pid: number): void => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  };
  const start = (): ReturnType<Zygote['start']> => {
    const program = zygote.start('tarpit', {
      account: tarpitAccount(),
      args: [JSON.stringify(LIMITS), ...listeners.map((_, index) => String(4 + index))],
      descriptors: listeners,
    });
    // What it has not read when it is killed.
    program.channel.on('error', () => {});
    opened.push(program.channel, ...(program.complaints ? [program.complaints] : []));
    return program;
  };
  const answer = async ({ channel }: ConnectedProgram, type: TarpitReport['type']): Promise<TarpitReport> => {
    let rest = '';
    for await (const text of channel.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
      const lines = `${rest}${text}`.split('\n');
      rest = lines.pop() ?? '';
      const found = lines.map(decodeTarpitReport).find((report) => report?.type === type);
      if (found) return found;
    }
    throw new Error(`It ended before it was ${type}`);
  };
  const until = async (condition: () => boolean): Promise<void> => {
    for (let waited = 0; !condition() && waited < 10_000; waited += 10) await sleep(10);
    assert.ok(condition());
  };

  test('starts a program that is shut in at once, with its arguments, its descriptors and a channel', async () => {
    const program = start();
    const report = await answer(program, 'ready');
    assert.ok(report.type === 'ready');
    const { uid, notes } = report.confinement;
    assert.deepEqual([uid, notes], [tarpitAccount().uid, []]);
    const status = readFileSync(`/proc/${program.pid}/status`, 'latin1');
    assert.match(status, new RegExp(`^PPid:\t${zygote.pid}$`, 'm'));
    assert.match(status, /^Groups:\t\s*$/m);
    // The channel, its listeners, its standard error, and nothing of the zygote's.
    assert.ok(timers.every(({ cancelled }) => cancelled));
    assert.deepEqual(losses, []);
    program.kill('SIGKILL');
    assert.deepEqual(await program.ended, { signal: 'SIGKILL' });
  });

  test('tells how each has ended, and keeps no descriptor of any', async () => {
    const open = (): number => readdirSync(`/proc/${zygote.pid}/fd`).length;
    const first = start();
    await answer(first, 'ready');
    const whileOne = open();
    const second = start();
    await answer(second, 'ready');
    second.channel.destroy();
    assert.deepEqual(await second.ended, { status: 0 });
    first.channel.write(encodeOrder({ type: 'ping', number: 7 }));
    first.kill('SIGKILL');
    assert.deepEqual(await first.ended, { signal: 'SIGKILL' });
    assert.ok(open() <= whileOne);
  });

  test('ends one that is stopped', async () => {
    const program = start();
    await answer(program, 'ready');
    process.kill(program.pid!, 'SIGSTOP');
    program.kill('SIGKILL');
    assert.deepEqual(await program.ended, { signal: 'SIGKILL' });
  });

  test('takes with it whom it has started, when its keeper goes', async () => {
    const program = start();
    await answer(program, 'ready');
    const { pid } = program;
    process.kill(pid!, 'SIGSTOP');
    zygote.close();
    await until(() => !existsSync(`/proc/${pid}`));
    assert.deepEqual(losses, []);
    assert.deepEqual(await start().ended, { failed: 'there is no descriptor or no process to start it with' });
  });

  test('ended, it is gone when that is over, and so is whom it had started', async () => {
    const program = start();
    await answer(program, 'ready');
    const ended = zygote.end();
    for (let waited = 0; existsSync(`/proc/${zygote.pid}`) && waited < 10_000; waited += 1) {
      await sleep(1);
      for (const timer of timers.splice(0)) if (!timer.cancelled && timer.delay < 100) timer.call();
    }
    for (const timer of timers.splice(0)) timer.call();
    await ended;
    await until(() => !existsSync(`/proc/${program.pid}`));
    assert.deepEqual(losses, []);
  });

  test('when it dies, that is told once, and nothing is started any more', async () => {
    process.kill(zygote.pid, 'SIGKILL');
    await until(() => losses.length > 0);
    const program = start();
    assert.equal('failed' in (await program.ended), true);
    program.kill('SIGKILL');
    assert.deepEqual(losses, ['The process that starts the watcher is gone']);
  });

  test('when it does not answer in ten seconds, that is told, too', async () => {
    process.kill(zygote.pid, 'SIGSTOP');
    start();
    const { delay, call } = timers.at(-1)!;
    assert.equal(delay, 10_000);
    call();
    assert.deepEqual(losses, ['The process that starts the watcher does not answer']);
    process.kill(zygote.pid, 'SIGKILL');
  });

  test('a descriptor that could not be had fails the start', async () => {
    const program = zygote.start('watcher', { account: tarpitAccount(), args: [], descriptors: [undefined] });
    assert.equal('failed' in (await program.ended), true);
    assert.deepEqual([program.pid, losses], [undefined, []]);
  });
});
