/**
 * From a knock's last packet to the first act of its command, which writes one byte into a FIFO: capture, decision, fork, and the
 * shell's start are all in it. Once with a plain command, once with a door that closes again (ours then writes the stop down first).
 */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { STEPS } from './daemon.ts';
import type { Figure, Target } from './figure.ts';
import { startKnocker } from './knocker.ts';
import { type Bench, CONTESTANTS, type Measurement, withDaemon } from './measurement.ts';

const QUARTER: Target = {
  text: 'median < 2 ms, p95 < 5 ms, a quarter of knockd',
  met: (ours, knockd) => ours.median < 2 && ours.p95 < 5 && knockd !== undefined && ours.median <= knockd.median / 4,
};
const CLOSES_AFTER = 1;

export const latency: Measurement = {
  name: 'latency',
  title: 'last packet of a knock to the start of its command',
  run: async (bench) => [
    await measure(bench, 'command', undefined),
    await measure(bench, 'start command of a door that closes', CLOSES_AFTER),
    await measureShell(bench),
  ],
};

/** The floor: the same command line without any daemon, in the same minute. */
async function measureShell(bench: Bench): Promise<Figure> {
  const fifo = join(bench.folder, 'fifo-shell');
  execFileSync('mkfifo', [fifo]);
  bench.tell('latency, the shell alone');
  const knocker = startKnocker(bench.client);
  const ours = await knocker.shell({ command: `echo >${fifo}`, count: 50, fifo });
  await knocker.stop();
  return { name: 'start of the shell → its command, no daemon', unit: 'ms', ours };
}

async function measure(bench: Bench, name: string, cmdTimeout: number | undefined): Promise<Figure> {
  const fifo = join(bench.folder, `fifo-${cmdTimeout ?? 0}`);
  execFileSync('mkfifo', [fifo]);
  const samples = { ours: [] as number[], knockd: [] as number[] };
  const [rounds, count] = bench.quick ? [1, 25] : [4, 25];
  const door = { command: `echo >${fifo}`, ...(cmdTimeout !== undefined && { cmdTimeout }) };
  for (let round = 1; round <= rounds; round += 1) {
    for (const contestant of CONTESTANTS) {
      bench.tell(`latency, ${name}: round ${round} of ${rounds}, ${contestant}`);
      const latencies = await withDaemon(bench, contestant, door, async () => {
        const knocker = startKnocker(bench.client);
        try {
          const order = { firstSource: '10.77.1.100', destination: bench.server.address4, ports: STEPS, fifo };
          return await knocker.knock({ ...order, count });
        } finally {
          await knocker.stop();
          // Every door is shut again before the daemon goes.
          if (cmdTimeout !== undefined) await sleep(cmdTimeout * 1000 + 500);
        }
      });
      samples[contestant].push(...latencies);
    }
  }
  return { name: `last packet → ${name}`, unit: 'ms', ...samples, target: QUARTER };
}
