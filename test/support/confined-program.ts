/**
 * A stand-in for the watcher that goes through both stages of the confinement and then tries everything it must not be able to
 * do, from the main thread and from libuv's pool, with descriptor 3 as the line to the test and 4 as the capture descriptor.
 *
 * `confined-program.ts VICTIM RING PORT UID:GID` starts it; VICTIM is a process id to aim at, RING is `ring` when descriptor 4 has
 * one, PORT accepts TCP on loopback. It says `{ pid, before, report, after }` on one line and then obeys: `collect`, `count`,
 * `rearm`, `spin`, `exit`, `throw`, `abort`.
 */

import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { mmapShared, watchReadable } from '../../src/platform/libc.ts';
import { BLOCK_COUNT, BLOCK_SIZE } from '../../src/platform/packet-socket.ts';
import { confine, enterConfinedRuntime } from '../../src/platform/sandbox.ts';
import { earlyEscapes, escapes, tryAll } from './escapes.ts';

const CHANNEL = 3;
const CAPTURE = 4;

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

const before = await tryAll(earlyEscapes({ victim, port }));
const report = confine({ packetDescriptors: [CAPTURE], account: { uid, gid } });
const after = await tryAll(escapes({ victim, port, capture: CAPTURE, channel: CHANNEL }));
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
