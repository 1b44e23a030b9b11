/** The control socket, over real sockets, before a daemon that is only pretended. */

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as nextRound } from 'node:timers/promises';
import * as fc from 'fast-check';
import { type Controlled, Refusal } from '../../src/control/controlled.ts';
import { MOST_CONNECTIONS, MOST_FOLLOWERS, serveControl } from '../../src/control/server.ts';
import { SocketError } from '../../src/control/socket-file.ts';
import { ControlPeer } from '../support/control-peer.ts';
import { ENTRIES, type FakeControlled, fakeControlled, STATUS } from '../support/fake-controlled.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { findProgram, Running } from '../support/running.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** A group that every machine has. */
const GROUP = 'daemon';
const asRoot = process.geteuid?.() === 0;

interface Serving extends AsyncDisposable {
  readonly path: string;
  readonly daemon: FakeControlled;
  readonly clock: ManualClock;
  readonly failures: unknown[];
  readonly warnings: readonly string[];
  connect(): Promise<ControlPeer>;
}

async function serve(changes: Partial<Controlled> = {}): Promise<Serving> {
  const folder = temporaryFolder();
  const path = join(folder.path, 'control.sock');
  const daemon = fakeControlled(changes);
  const clock = new ManualClock(ENTRIES[0]!.time);
  const failures: unknown[] = [];
  const ports = {
    wallNow: clock.wallNow,
    monotonicNow: clock.wallNow,
    after: clock.after,
    failed: (error: unknown) => void failures.push(error),
  };
  const server = await serveControl(path, daemon, ports, 'no-such-group');
  return {
    path,
    daemon,
    clock,
    failures,
    warnings: server.warnings,
    connect: () => ControlPeer.connect(path),
    [Symbol.asyncDispose]: async () => {
      await server.close();
      folder[Symbol.dispose]();
    },
  };
}

const started = ENTRIES[0]!;
const opened = ENTRIES[1]!;
const failed = ENTRIES[2]!;

test('the control socket answers every request', async () => {
  await using serving = await serve();
  using peer = await serving.connect();
  assert.deepEqual(await peer.ask({ do: 'status' }), { v: 1, ok: true, result: STATUS });
  assert.deepEqual(await peer.ask({ do: 'open', door: 'ssh', source: '192.0.2.7', for: '1m', id: 1 }), {
    v: 1,
    id: 1,
    ok: true,
    result: { source: '192.0.2.7', remaining_ms: 60_000, via: 'hand' },
  });
  assert.deepEqual((await peer.ask({ do: 'close', door: 'ssh' })).result, { closed: 2 });
  assert.deepEqual((await peer.ask({ do: 'reload' })).result, { doors: 2, warnings: [] });
  const log = (await peer.ask({ do: 'log', types: ['opened'], since: '1h' })).result;
  assert.deepEqual(log, [
    { time: '2030-01-31T12:00:01.500Z', type: 'opened', door: 'ssh', source: '192.0.2.7', via: 'knock', id: 2 },
  ]);
  assert.ok(Object.hasOwn((await peer.ask({ do: 'help' })).result as object, 'follow'));
  assert.deepEqual(serving.daemon.calls, [
    'open ssh 192.0.2.7 60000',
    'close ssh undefined',
    'reload',
    `log {"types":["opened"],"since":${started.time - 3_600_000}}`,
  ]);
});

test('what the daemon refuses is answered in its words, what it fails at is not', async () => {
  await using serving = await serve({
    status: async () => {
      throw new TypeError('undefined is not a function');
    },
    reload: async () => {
      throw new Refusal('/etc/postern/postern.toml:3: Cannot read\n/etc/postern/postern.toml:9: Unknown key');
    },
  });
  using peer = await serving.connect();
  const { ok, error } = await peer.ask({ do: 'reload' });
  assert.deepEqual(
    [ok, error],
    [false, '/etc/postern/postern.toml:3: Cannot read\n/etc/postern/postern.toml:9: Unknown key'],
  );
  assert.equal((await peer.ask({ do: 'status' })).error, 'The daemon failed at this: its log says why');
  assert.match(String(serving.failures), /undefined is not a function/);
  assert.equal((await peer.ask({ do: 'show', door: 'nosuch' })).ok, false);
});

test('requests that come in one piece are answered in their order', async () => {
  await using serving = await serve();
  using peer = await serving.connect();
  peer.socket.write('{"do":"status","id":1}\r\n\n  \n{"do":"nonsense","id":2}\nrubbish\n{"do":"reload","id":3}\n');
  assert.equal((await peer.reply()).id, 1);
  assert.equal((await peer.reply()).id, 2);
  assert.match(String((await peer.reply()).error), /not JSON/);
  assert.equal((await peer.reply()).id, 3);
});

test('a client that says it is done gets its answers and then the end, also after a line without one', async () => {
  await using serving = await serve();
  using peer = await serving.connect();
  peer.socket.end('{"do":"status","id":1}\n{"do":"status","id":2}');
  assert.equal((await peer.reply()).id, 1);
  assert.equal((await peer.reply()).id, 2);
  assert.equal(await peer.line(), undefined);
});

test('what somebody asked who is gone before it was his turn is not done', async () => {
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
  await using serving = await serve({ status: async () => held.then(() => STATUS) });
  const [gone, waiting] = [await serving.connect(), await serving.connect()];
  gone.socket.write('{"do":"open","door":"ssh","source":"192.0.2.7"}\n');
  gone.socket.destroy();
  waiting.socket.write('{"do":"status"}\n{"do":"open","door":"ssh","source":"192.0.2.8"}\n');
  using other = await serving.connect();
  assert.equal((await other.ask({ do: 'close', door: 'ssh' })).ok, true);
  waiting.socket.destroy();
  letGo();
  for (let round = 0; round < 20; round++) await nextRound();
  assert.equal((await other.ask({ do: 'close', door: 'ssh' })).ok, true);
  assert.deepEqual(serving.daemon.calls, ['close ssh undefined', 'close ssh undefined']);
});

test('many clients at once are all answered', async () => {
  await using serving = await serve();
  const peers = await Promise.all(Array.from({ length: MOST_CONNECTIONS }, () => serving.connect()));
  const answers = await Promise.all(
    peers.flatMap((peer, i) => {
      for (let j = 0; j < 10; j++) peer.socket.write(`${JSON.stringify({ do: 'status', id: i * 10 + j })}\n`);
      return Array.from({ length: 10 }, async () => (await peer.reply()).id);
    }),
  );
  assert.deepEqual(
    answers.toSorted((x, y) => Number(x) - Number(y)),
    Array.from({ length: MOST_CONNECTIONS * 10 }, (_, i) => i),
  );
  for (const peer of peers) peer.socket.destroy();
});

test('a line that is too long is refused, and the connection ends', async () => {
  await using serving = await serve();
  using peer = await serving.connect();
  peer.socket.write('x'.repeat(70_000));
  assert.match(String((await peer.reply()).error), /^The line is longer than 65536 bytes$/);
  await peer.gone();
});

test('`follow` tells what happens, to each what it asked for', async () => {
  await using serving = await serve();
  using all = await serving.connect();
  using some = await serving.connect();
  assert.deepEqual(await all.ask({ do: 'follow', id: 'f' }), { v: 1, id: 'f', ok: true, result: null });
  await some.ask({ do: 'follow', types: ['stage'] });
  assert.equal(serving.daemon.following, 1);
  serving.daemon.happen({ kind: 'history', entry: opened });
  serving.daemon.happen({ kind: 'stage', time: opened.time, door: 'ssh', source: '192.0.2.9', stage: 1, of: 3 });
  assert.deepEqual(await all.reply(), {
    v: 1,
    event: { time: '2030-01-31T12:00:01.500Z', type: 'opened', door: 'ssh', source: '192.0.2.7', via: 'knock', id: 2 },
  });
  const stage = {
    v: 1,
    event: { time: '2030-01-31T12:00:01.500Z', type: 'stage', door: 'ssh', source: '192.0.2.9', stage: 1, of: 3 },
  };
  assert.deepEqual(await all.reply(), stage);
  assert.deepEqual(await some.reply(), stage);
  assert.equal((await all.ask({ do: 'status', id: 9 })).id, 9);
  assert.match(String((await all.ask({ do: 'follow' })).error), /follows already/);
});

test('the daemon is not listened to when nobody follows any more', async () => {
  await using serving = await serve();
  using peer = await serving.connect();
  await peer.ask({ do: 'follow' });
  peer.socket.destroy();
  while (serving.daemon.following > 0) await nextRound();
});

test('a flood of what strangers cause is thinned and counted, what we did is told whole', async () => {
  await using serving = await serve();
  using peer = await serving.connect();
  await peer.ask({ do: 'follow' });
  for (let i = 0; i < 5000; i++) {
    serving.daemon.happen({ kind: 'history', entry: failed });
    if (i % 1000 === 0) await nextRound();
  }
  serving.daemon.happen({ kind: 'history', entry: opened });
  for (let i = 0; i < 1000; i++) assert.match((await peer.line()) ?? '', /"failed"/);
  assert.deepEqual((await peer.reply()).event, { time: '2030-01-31T12:00:01.500Z', type: 'skipped', count: 4000 });
  assert.match((await peer.line()) ?? '', /"opened"/);
});

test('a client that follows and does not read is dropped, others are not', async () => {
  await using serving = await serve();
  using slow = await serving.connect();
  using good = await serving.connect();
  await slow.ask({ do: 'follow' });
  await good.ask({ do: 'follow' });
  slow.socket.pause();
  const entry = { ...opened, detail: 'x'.repeat(4000) };
  for (let i = 0; i < 400; i++) {
    serving.daemon.happen({ kind: 'history', entry });
    assert.ok('event' in (await good.reply()));
  }
  slow.socket.resume();
  await slow.gone();
  assert.equal(good.over, false);
});

test('a client that does not take its answers gets no further and is dropped in time', async () => {
  let asked = 0;
  const big = { ...STATUS, warnings: ['x'.repeat(2_000_000)] };
  await using serving = await serve({
    status: async () => {
      asked++;
      return big;
    },
  });
  using slow = await serving.connect();
  slow.socket.pause();
  slow.socket.write('{"do":"status"}\n'.repeat(1000));
  while (serving.clock.timers === 0) await nextRound();
  for (let i = 0; i < 20; i++) await nextRound();
  assert.equal(asked, 1);
  serving.clock.advance(30_000);
  slow.socket.resume();
  await slow.gone();
});

test('answers that nobody takes are bounded for all together: who has most is dropped', async () => {
  const big = { ...STATUS, warnings: ['x'.repeat(4_000_000)] };
  await using serving = await serve({ status: async () => big });
  const slow = await Promise.all(Array.from({ length: 20 }, () => serving.connect()));
  for (const peer of slow) {
    peer.socket.pause();
    peer.socket.write('{"do":"status"}\n');
  }
  using good = await serving.connect();
  let over = false;
  const last = good.ask({ do: 'status' }).finally(() => {
    over = true;
  });
  while (!over) {
    serving.clock.advance(10);
    await nextRound();
  }
  assert.equal((await last).ok, true);
  const answered = await Promise.all(
    slow.map((peer) => {
      peer.socket.resume();
      peer.socket.end();
      return peer.line();
    }),
  );
  assert.equal(answered.filter((line) => line === undefined).length, 17);
  for (const peer of slow) peer.socket.destroy();
});

test('a connection too many pushes out the one that was idle for longest', async () => {
  await using serving = await serve();
  const idle = [];
  for (let i = 0; i < MOST_CONNECTIONS; i++) {
    const peer = await serving.connect();
    await peer.ask({ do: 'help' });
    idle.push(peer);
  }
  await idle[0]!.ask({ do: 'help' });
  using late = await serving.connect();
  assert.equal((await late.ask({ do: 'status' })).ok, true);
  await idle[1]!.gone();
  assert.equal((await idle[0]!.ask({ do: 'status' })).ok, true);
  for (const peer of idle) peer.socket.destroy();
});

test('followers are bounded, so that others can always ask', async () => {
  await using serving = await serve();
  const peers = await Promise.all(Array.from({ length: MOST_FOLLOWERS }, () => serving.connect()));
  for (const peer of peers) assert.equal((await peer.ask({ do: 'follow' })).ok, true);
  using late = await serving.connect();
  assert.equal((await late.ask({ do: 'follow' })).error, `Too many are following: ${MOST_FOLLOWERS} at most`);
  assert.equal((await late.ask({ do: 'status' })).ok, true);
  peers[0]!.socket.destroy();
  while ((await late.ask({ do: 'follow' })).ok !== true) await nextRound();
  for (const peer of peers) peer.socket.destroy();
});

test('when every connection is busy, another is told so', async () => {
  await using serving = await serve({ reload: () => new Promise(() => {}) });
  const busy = await Promise.all(Array.from({ length: MOST_CONNECTIONS }, () => serving.connect()));
  for (const peer of busy) peer.socket.write('{"do":"reload"}\n');
  for (let i = 0; i < 2 * MOST_CONNECTIONS + 20; i++) await nextRound();
  using late = await serving.connect();
  assert.equal((await late.reply()).error, `Too many connections: ${MOST_CONNECTIONS} at most`);
  for (const peer of busy) peer.socket.destroy();
});

test('rubbish of every kind leaves the daemon as it was', async () => {
  await using serving = await serve();
  const line = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ unit: 'binary' }).map((text) => new TextEncoder().encode(text)),
    fc.json().map((text) => new TextEncoder().encode(text)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(line, { maxLength: 8 }), fc.boolean(), async (lines, abrupt) => {
      using peer = await serving.connect();
      for (const bytes of lines) {
        peer.socket.write(bytes);
        peer.socket.write('\n');
      }
      if (abrupt) return;
      peer.socket.end('\n{"do":"status","id":"last"}\n');
      for (let text = await peer.line(); text !== undefined; text = await peer.line()) {
        const answer = JSON.parse(text) as { v: number; ok: boolean; id?: string };
        assert.equal(answer.v, 1);
        if (answer.id === 'last') return assert.equal(answer.ok, true);
        assert.equal(answer.ok, false);
      }
      assert.fail('the last request was not answered');
    }),
    { numRuns: 100 },
  );
  assert.deepEqual([serving.daemon.calls, serving.failures], [[], []]);
});

test('who opens by hand is known by the kernel, not by what he says', {
  skip: (!asRoot || process.platform !== 'linux') && 'needs root on Linux',
}, async () => {
  await using serving = await serve();
  using peer = await serving.connect();
  await peer.ask({ do: 'open', door: 'ssh', source: '192.0.2.7' });
  chmodSync(dirname(serving.path), 0o755);
  chmodSync(serving.path, 0o666);
  for (const uid of [1, 54321]) {
    const program = `process.setuid(${uid}); const socket = require('net').connect(${JSON.stringify(serving.path)});
      socket.end('{"do":"open","door":"ssh","source":"192.0.2.7"}'); socket.resume();`;
    await new Running([process.execPath, '-e', program]).end();
  }
  assert.deepEqual(serving.daemon.users, ['root', 'daemon', 'uid 54321']);
});

const quiet = { wallNow: Date.now, monotonicNow: Date.now, after: () => () => {}, failed: () => {} };

test("without the group, the socket is root's and its group's, or its owner's alone", async () => {
  await using serving = await serve();
  const { mode, uid, gid } = statSync(serving.path);
  const isRoots = asRoot && process.platform === 'linux';
  assert.deepEqual([mode & 0o777, uid], [isRoots ? 0o660 : 0o600, process.geteuid?.()]);
  if (isRoots) assert.equal(gid, 0);
  assert.deepEqual(serving.warnings, []);
});

test('the group can use the socket and pass through the folder, nobody else can', {
  skip: !asRoot && 'needs root',
}, async () => {
  using folder = temporaryFolder();
  const gid = Number(/^daemon:[^:]*:(\d+)/m.exec(readFileSync('/etc/group', 'utf8'))?.[1]);
  for (const [name, before, after] of [
    ['made', undefined, 0o750],
    ['private', 0o700, 0o710],
    ['public', 0o755, 0o755],
  ] as const) {
    const path = join(folder.path, name, 'control.sock');
    if (before !== undefined) mkdirSync(dirname(path), { mode: before });
    const server = await serveControl(path, fakeControlled(), quiet, GROUP);
    assert.deepEqual(server.warnings, []);
    const { mode, gid: owner } = statSync(path);
    assert.deepEqual([mode & 0o777, owner], [0o660, gid]);
    assert.equal(statSync(dirname(path)).mode & 0o777, after, name);
    await server.close();
    assert.equal(existsSync(path), false);
  }
  const other = join(folder.path, 'other');
  mkdirSync(other, { mode: 0o750 });
  const server = await serveControl(join(other, 'control.sock'), fakeControlled(), quiet, GROUP);
  assert.match(server.warnings.join(), /^Group daemon cannot pass through .*other to the control socket in it$/);
  await server.close();
});

test('a socket that a dead daemon left is replaced', async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'control.sock');
  const program = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await new Running([process.execPath, '-e', program]).end({ mayFail: true });
  assert.ok(existsSync(path));
  const server = await serveControl(path, fakeControlled(), quiet, 'no-such-group');
  using peer = await ControlPeer.connect(path);
  assert.equal((await peer.ask({ do: 'status' })).ok, true);
  await server.close();
});

test('a socket at which a daemon answers is left alone, and so is what is no socket', async () => {
  await using serving = await serve();
  await assert.rejects(serveControl(serving.path, fakeControlled(), quiet), (error) => {
    assert.ok(error instanceof SocketError);
    assert.match(
      error.message,
      /^Another daemon answers at .*: stop it, or give this one its own socket in \[control\]$/,
    );
    return true;
  });
  using peer = await serving.connect();
  assert.equal((await peer.ask({ do: 'status' })).ok, true);
  const file = join(dirname(serving.path), 'file');
  writeFileSync(file, 'mine');
  await assert.rejects(serveControl(file, fakeControlled(), quiet), /something else has that name/);
  assert.equal(readFileSync(file, 'utf8'), 'mine');
});

test('a folder that cannot be made, and a path that is too long, are said', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'file');
  writeFileSync(file, '');
  await assert.rejects(serveControl(join(file, 'deep', 'control.sock'), fakeControlled(), quiet), SocketError);
  await assert.rejects(serveControl(join(folder.path, 'x'.repeat(120)), fakeControlled(), quiet), SocketError);
});

test('closing ends every connection', async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'control.sock');
  const server = await serveControl(path, fakeControlled(), quiet, 'no-such-group');
  using peer = await ControlPeer.connect(path);
  await peer.ask({ do: 'follow' });
  await server.close();
  await peer.gone();
  assert.equal(existsSync(path), false);
});

const nc = findProgram('nc');

test('`nc -U` is as good a client as any', { skip: nc === undefined && 'not installed: nc' }, async () => {
  await using serving = await serve();
  chmodSync(serving.path, 0o600);
  const client = new Running([nc ?? '', '-U', serving.path], { input: { open: true } });
  client.write('{"do":"status"}\n');
  await client.waitForLine(/^\{"v":1,"ok":true,"result":\{/);
  await client.stop();
});
