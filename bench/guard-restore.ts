/**
 * How long a guarded port is open after a foreign `nft flush ruleset`, as a stranger sees it: SYNs at an even rate, and how many of
 * them the listener behind the guard got to answer. knockd has no guard of its own to lose.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { startSender } from '../test/support/sender.ts';
import type { Figure } from './figure.ts';
import type { Bench, Measurement } from './measurement.ts';
import { FIRST_PORT, startNative } from './native-daemon.ts';

/** SYNs a second: a fifth of a millisecond each. */
const RATE = 5000;
const FIRST_SOURCE = '10.97.0.1';
const SOURCES = '10.97.0.0/16';
const LISTEN = `require('node:net').createServer().listen(${FIRST_PORT}, () => console.log('ready'))`;
const COUNTER = `table inet count {
  chain in {
    type filter hook prerouting priority -300
    tcp sport ${FIRST_PORT} tcp flags & (syn | ack) == (syn | ack) counter
  }
}
`;

export const guardRestore: Measurement = {
  name: 'restore',
  title: 'a guard that somebody flushed, until it stands again',
  run: async (bench) => {
    const { server, client } = bench;
    const listener = server.spawn([process.execPath, '-e', LISTEN]);
    await listener.waitForLine(/^ready$/);
    await server.exec(['ip', 'route', 'replace', SOURCES, 'via', client.address4]);
    await client.exec(['nft', '-f', '-'], { input: COUNTER });
    const figures: Figure[] = [];
    try {
      for (const doors of [1, 100]) {
        bench.tell(`restore: ${doors} doors`);
        const name = `port open after a foreign flush, ${doors} ${doors === 1 ? 'door' : 'doors'}`;
        figures.push({ name, unit: 'ms', ours: await windows(bench, doors) });
      }
    } finally {
      await listener.stop();
      await server.exec(['nft', 'flush', 'ruleset']);
      await client.exec(['nft', 'flush', 'ruleset']);
      await server.exec(['ip', 'route', 'del', SOURCES], { mayFail: true });
    }
    return figures;
  },
};

/** Milliseconds for each of some flushes. */
async function windows(bench: Bench, doors: number): Promise<readonly number[]> {
  const rounds = bench.quick ? 3 : 15;
  const native = await startNative(bench, doors);
  const sender = startSender(bench.client);
  const times: number[] = [];
  let over = false;
  const flood = {
    destination: bench.server.address4,
    firstSource: FIRST_SOURCE,
    sources: 1,
    port: FIRST_PORT,
    rate: RATE,
  };
  const flooding = (async () => {
    while (!over) await sender.flood({ ...flood, seconds: 1 });
  })();
  try {
    for (let round = 0; round < rounds; round += 1) {
      await sleep(300);
      const before = await answered(bench);
      const from = native.running.lines.length;
      await bench.server.exec(['nft', 'flush', 'ruleset']);
      await native.running.waitForLine(/^the guard had been removed by somebody else/, 10_000, from);
      await sleep(100);
      times.push(((await answered(bench)) - before) / (RATE / 1000));
    }
  } finally {
    over = true;
    await flooding;
    await native.stop();
    await bench.server.exec(['nft', 'flush', 'ruleset']);
  }
  return times;
}

async function answered({ client }: Bench): Promise<number> {
  const { stdout } = await client.exec(['nft', 'list', 'table', 'inet', 'count']);
  return Number(/counter packets (\d+)/.exec(stdout)?.[1]);
}
