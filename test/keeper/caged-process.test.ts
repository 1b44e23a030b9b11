/** The watcher may be captured: whatever it says or does, the keeper kills it, starts another and goes on. */

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { decodeReport, encodeReport, type News, type Report } from '../../src/core/messages.ts';
import { CagedProcess } from '../../src/keeper/caged-process.ts';
import type { Ending } from '../../src/platform/process.ts';
import { settled } from '../support/fake-programs.ts';
import { ManualClock } from '../support/manual-clock.ts';

interface FakeWatcher {
  readonly channel: PassThrough;
  readonly written: string[];
  killed: NodeJS.Signals | undefined;
  readonly end: (ending: Ending) => void;
}

const OPENED = encodeReport({ type: 'failed', reason: 'x' });

function stage() {
  const clock = new ManualClock();
  const watchers: FakeWatcher[] = [];
  const reports: Report[] = [];
  const deaths: string[] = [];
  let configured = 0;
  let answering = true;
  const process = new CagedProcess<News>({
    decode: decodeReport,
    start: () => {
      const { promise, resolve } = Promise.withResolvers<Ending>();
      const written: string[] = [];
      const channel = new PassThrough();
      // What the keeper writes is not what the watcher says.
      channel.write = ((text: string) => {
        const ping = /^\{"type":"ping","number":(\d+)\}\n$/.exec(text);
        if (!ping) written.push(text);
        else if (answering) channel.push(`{"type":"alive","number":${ping[1]}}\n`);
        return true;
      }) as typeof channel.write;
      const watcher: FakeWatcher = { channel, written, killed: undefined, end: resolve };
      watchers.push(watcher);
      return {
        pid: watchers.length,
        channel,
        ended: promise,
        kill: (signal) => {
          watcher.killed = signal;
          resolve({ signal });
        },
      };
    },
    report: (report) => reports.push(report),
    started: () => {
      configured += 1;
    },
    died: (how) => deaths.push(how),
    monotonicNow: clock.monotonicNow,
    after: clock.after,
  });
  process.start();
  const say = async (text: string, watcher = watchers.at(-1)!): Promise<void> => {
    watcher.channel.push(text);
    await new Promise(setImmediate);
  };
  const hang = (): void => {
    answering = false;
  };
  return { clock, watchers, reports, deaths, process, say, hang, configured: () => configured };
}

test('Reports are handed on, also when they arrive in pieces', async () => {
  const { reports, say } = stage();
  const text = OPENED + OPENED + encodeReport({ type: 'ended' });
  for (const character of text) await say(character);
  assert.deepEqual(
    reports.map((report) => report.type),
    ['failed', 'failed', 'ended'],
  );
});

for (const [what, garbage] of [
  ['a line that is no report', 'hello\n'],
  ['an empty line', '\n'],
  ['binary', `${String.fromCharCode(0, 255, 27)}\n`],
  ['a report with one field too many', '{"type":"ended","more":1}\n'],
  ['an order to run something', '{"type":"run","command":"reboot"}\n'],
  ['a line that never ends', 'x'.repeat(10_000)],
] as const) {
  test(`A watcher that sends ${what} is killed and replaced at once; what it says after that is nothing`, async () => {
    const { watchers, reports, deaths, say, configured } = stage();
    await say(OPENED + garbage + OPENED);
    assert.equal(watchers[0]!.killed, 'SIGKILL');
    assert.equal(watchers.length, 2);
    assert.equal(configured(), 2);
    assert.deepEqual(deaths, ['sent a message that is none and was killed']);
    assert.equal(reports.length, 1, 'what came before was a report');
    await say(OPENED);
    assert.equal(reports.length, 2, 'the next one is listened to');
  });
}

test('A watcher that dies is replaced at once; one that keeps dying waits longer each time, up to five seconds', async () => {
  const { clock, watchers, deaths } = stage();
  const pauses: number[] = [];
  for (let death = 1; death <= 11; death += 1) {
    watchers.at(-1)!.end({ status: 1 });
    await settled();
    let pause = 0;
    while (watchers.length === death) {
      clock.advance(50);
      pause += 50;
    }
    pauses.push(pause);
  }
  assert.deepEqual(pauses, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  assert.ok(deaths.every((how) => how === 'exited with status 1'));
});

test('A watcher that had lived well is replaced at once again', async () => {
  const { clock, watchers } = stage();
  for (let death = 1; death <= 3; death += 1) {
    for (let second = 0; second < 11; second += 1) {
      clock.advance(1000);
      await new Promise(setImmediate);
    }
    watchers.at(-1)!.end({ signal: 'SIGSEGV' });
    await settled();
    assert.equal(watchers.length, death + 1);
  }
});

test('A watcher that hangs is killed and replaced, one that answers is not', async () => {
  const { clock, watchers, reports, deaths, hang } = stage();
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      clock.advance(1000);
      await new Promise(setImmediate);
    }
  };
  await pass(60);
  assert.equal(watchers.length, 1);
  assert.deepEqual(reports, []);
  hang();
  await pass(20);
  assert.equal(watchers[0]!.killed, 'SIGKILL');
  assert.equal(deaths[0], 'did not answer and was killed');
  assert.ok(watchers.length >= 2);
});

test('It is known when a watcher last answered the newest question, also after another has taken its place', async () => {
  const { clock, process, hang } = stage();
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      clock.advance(1000);
      await new Promise(setImmediate);
    }
  };
  await pass(35);
  const last = process.answeredAt!;
  assert.ok(clock.monotonicNow() - last <= 10_000);
  hang();
  await pass(60);
  assert.ok(process.answeredAt! - last <= 10_000);
  assert.ok(clock.monotonicNow() - process.answeredAt! >= 50_000);
});

test('A watcher that lost its capture is replaced, and not over and over without a pause', async () => {
  const { clock, watchers, deaths, process } = stage();
  process.replace();
  await settled();
  assert.equal(watchers[0]!.killed, 'SIGKILL');
  assert.equal(watchers.length, 2);
  process.replace();
  await settled();
  assert.equal(watchers.length, 2);
  clock.advance(50);
  assert.equal(watchers.length, 3);
  assert.deepEqual(deaths, ['lost its capture', 'lost its capture']);
});

test('A watcher that cannot be started is tried again, and orders meanwhile go nowhere', async () => {
  const { clock, watchers, deaths, process } = stage();
  for (let death = 1; death <= 2; death += 1) {
    watchers.at(-1)!.end({ failed: 'no memory' });
    await settled();
  }
  process.send({ type: 'addresses', addresses: [] });
  assert.equal(watchers.length, 2);
  clock.advance(50);
  assert.equal(watchers.length, 3);
  process.send({ type: 'addresses', addresses: [] });
  assert.deepEqual(watchers.at(-1)!.written, ['{"type":"addresses","addresses":[]}\n']);
  assert.deepEqual(deaths, ['could not be started: no memory', 'could not be started: no memory']);
});

test('`stop()` ends it for good', async () => {
  const { clock, watchers, deaths, process } = stage();
  process.stop();
  await settled();
  clock.advance(60_000);
  assert.equal(watchers[0]!.killed, 'SIGKILL');
  assert.equal(watchers.length, 1);
  assert.deepEqual(deaths, []);
});

test('`stop()` during a pause starts none', async () => {
  const { clock, watchers, process } = stage();
  for (let death = 1; death <= 2; death += 1) {
    watchers.at(-1)!.end({ status: 1 });
    await settled();
  }
  process.stop();
  clock.advance(60_000);
  assert.equal(watchers.length, 2);
});

test('A start that throws is tried again with pauses, until it is stopped, also by whoever is told of it', () => {
  const clock = new ManualClock();
  let starts = 0;
  const process: CagedProcess<News> = new CagedProcess<News>({
    decode: decodeReport,
    start: () => {
      starts += 1;
      throw new Error('no memory');
    },
    report: () => {},
    started: () => {},
    died: (how) => {
      assert.equal(how, 'could not be started: no memory');
      if (starts === 4) process.stop();
    },
    monotonicNow: clock.monotonicNow,
    after: clock.after,
  });
  process.start();
  assert.equal(starts, 2);
  clock.advance(50);
  assert.equal(starts, 3);
  clock.advance(100);
  assert.equal(starts, 4);
  clock.advance(60_000);
  assert.equal(starts, 4);
});
