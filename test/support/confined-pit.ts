/**
 * A stand-in for a captured tarpit: goes through both stages of its confinement, takes one connection, tries everything that it must not be
 * able to do with it and besides it, and then does the one thing that it may: send.
 *
 * `confined-pit.ts VICTIM PORT UID:GID` starts it; VICTIM is a process id to aim at, PORT accepts TCP on loopback, descriptor 4 listens. It says
 * `{ report, outcomes }` on descriptor 3, one line, after it has sent `SENT`.
 */

import { readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import {
  accept4,
  bind,
  dup2,
  listen,
  recv,
  sendto,
  setsockopt,
  socket,
  watchReadable,
} from '../../src/platform/libc.ts';
import { enterConfinedRuntime } from '../../src/platform/sandbox.ts';
import { acceptTcp, sendTcp } from '../../src/platform/tcp-listener.ts';
import { shutIn } from '../../src/tarpit/shut-in.ts';
import { type Attempts, escapes, tryAll } from './escapes.ts';

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

const bytes = new Uint8Array(64);
const loopback = new Uint8Array([2, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);

/** All that no confined process may do, and what this one may not do with a stranger (`held`) and the listener. */
const attempts = (held: number): Attempts => ({
  ...withoutThreads(escapes({ victim, port, capture: LISTENER, channel: CHANNEL })),
  'open a TCP socket': () => socket(2, 1, 0),
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
});

/** No thread can be started in here: Node ends the process where it needs one. */
function withoutThreads(all: Attempts): Attempts {
  return Object.fromEntries(Object.entries(all).filter(([name]) => !/ from the pool$|thread$|module$/.test(name)));
}

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
  const outcomes = await tryAll(attempts(found.descriptor));
  const sent = sendTcp(found.descriptor, new TextEncoder().encode(SENT));
  channel.write(`${JSON.stringify({ pid: process.pid, report, outcomes, sent })}\n`);
}
