/** The keeper's half of the tarpit, over a system that is only pretended: descriptors are numbers, the process is the test. */

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import type { PosternConfig } from '../../src/config/postern-config.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import type { PitLimits } from '../../src/core/pit.ts';
import { Tarpit } from '../../src/keeper/tarpit.ts';
import { SystemError } from '../../src/platform/libc.ts';
import type { Ending } from '../../src/platform/process.ts';
import { settled } from '../support/fake-programs.ts';
import { ManualClock } from '../support/manual-clock.ts';

const DOOR = '[door.ssh]\nprotect = ["tcp/22"]\n';
const EADDRINUSE = 98;
const EAFNOSUPPORT = 97;

function config(text: string): PosternConfig {
  const result = parsePosternToml(text + DOOR, { file: 'p.toml' });
  assert.ok(result.ok, JSON.stringify(result.problems));
  return result.config;
}

interface FakeProcess {
  readonly channel: PassThrough;
  readonly stderr: PassThrough;
  readonly descriptors: readonly number[];
  readonly limits: PitLimits;
  killed: boolean;
  end(ending: Ending): void;
}

function stage() {
  const clock = new ManualClock();
  const open = new Set<number>();
  const listening = new Set<number>();
  const processes: FakeProcess[] = [];
  const warnings: string[] = [];
  const taken = new Map<number, number>();
  let next = 10;
  const tarpit = new Tarpit({
    warn: (detail) => warnings.push(detail),
    monotonicNow: clock.monotonicNow,
    after: clock.after,
    system: {
      bind: (port) => {
        const errno = taken.get(port);
        if (errno !== undefined) throw new SystemError('bind', errno);
        const descriptors = [next++, next++];
        for (const fd of descriptors) open.add(fd);
        return descriptors;
      },
      listen: (descriptors) => {
        for (const fd of descriptors) listening.add(fd);
      },
      close: (fd) => {
        assert.ok(open.delete(fd), `${fd} is not open`);
        listening.delete(fd);
      },
      start: (descriptors, limits, complaints) => {
        const stderr = new PassThrough();
        complaints.read(stderr);
        const { promise, resolve } = Promise.withResolvers<Ending>();
        const channel = new PassThrough();
        channel.write = (() => true) as typeof channel.write;
        const process: FakeProcess = { channel, stderr, descriptors, limits, killed: false, end: resolve };
        processes.push(process);
        return {
          pid: 100 + processes.length,
          channel,
          ended: promise,
          kill: () => {
            process.killed = true;
            resolve({ signal: 'SIGKILL' });
          },
        };
      },
    },
  });
  const configure = (text: string): void => {
    tarpit.prepare(config(text));
    tarpit.commit();
  };
  const say = async (line: string): Promise<void> => {
    processes.at(-1)!.channel.push(`${line}\n`);
    await new Promise(setImmediate);
  };
  return { clock, open, listening, processes, warnings, taken, tarpit, configure, say };
}

describe('Tarpit', () => {
  test('takes its port before the guard stands, and lets nobody in until it does', () => {
    const { tarpit, open, listening, processes } = stage();
    tarpit.prepare(config('[tarpit]\nport = 2222\n'));
    assert.deepEqual([tarpit.guarded(), open.size, listening.size, processes.length], [{ tarpit: 2222 }, 2, 0, 0]);
    assert.deepEqual(tarpit.standing(), {});
    tarpit.commit();
    assert.deepEqual([listening.size, processes.length], [2, 1]);
    assert.deepEqual(processes[0]?.limits, {
      connections: 256,
      perSource: 8,
      every: 10_000,
      duration: 3_600_000,
      ipv6Prefix: 64,
    });
  });

  test('is not there without the section, and not while the daemon observes', () => {
    const { tarpit, open, configure } = stage();
    for (const text of ['', 'mode = "observe"\n[tarpit]\n']) {
      configure(text);
      assert.deepEqual([tarpit.guarded(), tarpit.standing(), open.size, tarpit.problem], [{}, {}, 0, undefined]);
    }
  });

  test('whose port somebody else has leads nobody there, and says so', () => {
    const { tarpit, taken, warnings, configure } = stage();
    taken.set(2222, EADDRINUSE);
    configure('[tarpit]\nport = 2222\n');
    assert.deepEqual([tarpit.guarded(), tarpit.standing()], [{}, {}]);
    assert.match(
      tarpit.problem ?? '',
      /^Cannot listen on tcp\/2222 for the tarpit, banned sources are dropped: bind: /,
    );
    assert.deepEqual(warnings, [tarpit.problem]);
    taken.set(2222, EAFNOSUPPORT);
    configure('[tarpit]\nport = 2222\n');
    assert.match(tarpit.problem ?? '', /this service may not use IP sockets \(doc\/service\.md/);
    taken.clear();
    configure('[tarpit]\nport = 2222\n');
    assert.deepEqual([tarpit.guarded(), tarpit.problem], [{ tarpit: 2222 }, undefined]);
  });

  test('is done without where the firewall does not take it, and doors are closed all the same', async () => {
    const { tarpit, open, warnings } = stage();
    const installed: unknown[] = [];
    const install = async (): Promise<string> => {
      if (tarpit.port !== undefined) throw new Error('no such expression');
      installed.push(tarpit.guarded());
      return 'done';
    };
    tarpit.prepare(config('[tarpit]\n'));
    assert.equal(await tarpit.orWithout(install), 'done');
    tarpit.commit();
    assert.deepEqual([installed, open.size, tarpit.standing()], [[{}], 0, {}]);
    assert.deepEqual(warnings, ['The firewall takes no tarpit, banned sources are dropped: no such expression']);
    assert.equal(tarpit.problem, warnings[0]);
    await assert.rejects(
      tarpit.orWithout(() => Promise.reject(new Error('nothing at all'))),
      /nothing at all/,
    );
  });

  test('goes on as it was when the firewall refuses another configuration', () => {
    const { tarpit, open, processes, configure } = stage();
    configure('[tarpit]\nport = 2222\n');
    const before = [...open];
    for (const text of ['[tarpit]\nport = 3333\n', '[tarpit]\nport = 2222\nconnections = 9\n', '']) {
      tarpit.prepare(config(text));
      tarpit.abandon();
      assert.deepEqual([tarpit.guarded(), [...open], processes.length], [{ tarpit: 2222 }, before, 1], text);
      assert.equal(processes[0]?.killed, false);
    }
  });

  test('changes with the configuration: another process for other limits, other sockets for another port', () => {
    const { tarpit, open, listening, processes, configure } = stage();
    configure('[tarpit]\nport = 2222\n');
    configure('[tarpit]\nport = 2222\n');
    assert.equal(processes.length, 1);
    configure('[tarpit]\nport = 2222\nper_source = 2\n');
    assert.deepEqual([processes.length, processes[0]?.killed, processes[1]?.limits.perSource], [2, true, 2]);
    assert.deepEqual(processes[1]?.descriptors, processes[0]?.descriptors);
    configure('[tarpit]\nport = 3333\n');
    assert.deepEqual([processes.length, processes[1]?.killed, open.size, listening.size], [3, true, 2, 2]);
    assert.deepEqual([...open], processes[2]?.descriptors);
    configure('');
    assert.deepEqual([processes[2]?.killed, open.size, tarpit.standing()], [true, 0, {}]);
  });

  test('adds up what its processes have counted, and starts another when one dies', async () => {
    const { tarpit, processes, warnings, say } = stage();
    tarpit.prepare(config('[tarpit]\nport = 2222\n'));
    tarpit.commit();
    await say('{"type":"ready","confinement":{"landlock":7,"seccomp":true,"uid":65526,"notes":["a note"]}}');
    await say('held 3 10 2');
    processes[0]?.end({ signal: 'SIGKILL' });
    await settled();
    assert.equal(processes.length, 2);
    await say('held 1 5 1');
    assert.deepEqual(tarpit.standing().tarpit, {
      port: 2222,
      pid: 102,
      restarts: 1,
      held: 1,
      connections: 256,
      total: 15,
      turned_away: 3,
      confinement: 'user 65526, landlock 7, seccomp',
    });
    assert.deepEqual(warnings, ['tarpit: a note', 'the tarpit was killed by SIGKILL, another is started']);
  });

  test('does not fill the log by dying, nor by what it says then', async () => {
    const { clock, processes, warnings, configure } = stage();
    configure('[tarpit]\n');
    for (let death = 0; death < 100; death++) {
      processes.at(-1)?.stderr.push('Error: a line\n'.repeat(10));
      await new Promise(setImmediate);
      processes.at(-1)?.end({ status: 1 });
      await settled();
      clock.advance(5000);
    }
    assert.ok(processes.length > 90, `${processes.length}`);
    const deaths = warnings.filter((text) => text === 'the tarpit exited with status 1, another is started').length;
    assert.ok(deaths >= 5 && deaths <= 7, `${deaths}`);
    const lines = warnings.filter((text) => text === 'tarpit: Error: a line').length;
    assert.ok(lines >= 30 && lines <= 52, `${lines}`);
  });

  test('replaces a process that says what only a watcher may say', async () => {
    const { processes, warnings, configure, say } = stage();
    configure('[tarpit]\n');
    await say('{"type":"knock","revision":0,"event":{"type":"opened","door":0,"source":"192.0.2.1"}}');
    assert.deepEqual([processes[0]?.killed, processes.length], [true, 2]);
    assert.match(warnings[0] ?? '', /sent a message that is none/);
  });

  test('ends with its sockets, once', () => {
    const { tarpit, open, processes, configure } = stage();
    assert.equal(tarpit.end(), false);
    configure('[tarpit]\n');
    assert.equal(tarpit.end(), true);
    assert.deepEqual([open.size, processes[0]?.killed, tarpit.guarded(), tarpit.standing()], [0, true, {}, {}]);
    assert.equal(tarpit.end(), false);
    tarpit.prepare(config('[tarpit]\n'));
    assert.equal(tarpit.end(), false, 'nothing was put in force');
    assert.equal(open.size, 0);
  });
});
