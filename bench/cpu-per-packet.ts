/**
 * What a spoofed first step costs, all processes of a daemon together, by how many attempts are alive already.
 *
 * A level is filled with first steps from distinct sources; then batches of further ones are charged, each retired afterwards by a
 * packet out of turn, so that the level stays what it is. At the end sources from all over the fill finish their knock: that the door
 * opens for each proves that their attempts were alive. Both daemons get the same packets; knockd as many as it can bear.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAddress, printAddress } from '../src/core/address.ts';
import { type Sender, startSender } from '../test/support/sender.ts';
import type { Contestant, Daemon } from './daemon.ts';
import type { Figure, Target } from './figure.ts';
import { type Bench, type Measurement, withDaemon } from './measurement.ts';

interface Level {
  readonly live: number;
  readonly batch: number;
  readonly batches: number;
}

const LEVELS: readonly Level[] = [
  { live: 1000, batch: 1000, batches: 12 },
  { live: 20_000, batch: 2000, batches: 6 },
  { live: 100_000, batch: 10_000, batches: 5 },
  { live: 1_000_000, batch: 20_000, batches: 4 },
];
/** More than this knockd does not get through in bearable time. */
const MOST_FOR_KNOCKD = 20_000;
const RATE = 20_000;
const FILL_RATE = { ours: 100_000, knockd: 8_000 } as const;
const FIRST = parseAddress('100.64.0.0')!;
/** Far from the fill. */
const BATCH_FIRST = parseAddress('101.0.0.0')!;
const WINDOW = 600;

const FLAT: Target = { text: '< 2 µs, flat to 1,000,000', met: (ours) => ours.median < 2 };

export const cpuPerPacket: Measurement = {
  name: 'cpu',
  title: 'CPU time per first step, by live attempts',
  run: async (bench) => {
    const samples = { ours: await measure(bench, 'ours'), knockd: await measure(bench, 'knockd') };
    return LEVELS.map(({ live }): Figure => {
      const name = `first step at ${live.toLocaleString('en')} live attempts`;
      const knockd = samples.knockd.get(live);
      return { name, unit: 'µs CPU', ours: samples.ours.get(live) ?? [], ...(knockd && { knockd }), target: FLAT };
    });
  },
};

async function measure(bench: Bench, contestant: Contestant): Promise<ReadonlyMap<number, readonly number[]>> {
  const opened = join(bench.folder, `cpu-opened-${contestant}`);
  const levels = LEVELS.filter(({ live }) => contestant === 'ours' || live <= MOST_FOR_KNOCKD);
  const samples = new Map<number, readonly number[]>();
  const door = { command: `echo %IP% >>${opened}`, window: WINDOW };
  await withDaemon(bench, contestant, door, async (daemon) => {
    const sender = startSender(bench.client);
    await warmUp(bench, sender, daemon);
    let filled = 0;
    for (const { live, batch, batches } of levels) {
      bench.tell(`cpu: ${contestant}, ${live.toLocaleString('en')} live attempts`);
      const goal = live - batch / 2;
      const fill = { firstSource: plus(FIRST, filled), sources: goal - filled, count: goal - filled };
      await sender.flood({ destination: bench.server.address4, rate: FILL_RATE[contestant], seconds: 60, ...fill });
      filled = goal;
      if (!(await daemon.idle(30_000))) throw new Error(`${contestant} does not come to rest at ${live} attempts`);
      const rounds = bench.quick ? Math.ceil(batches / 2) : batches;
      const costs: number[] = [];
      for (let round = 0; round < rounds; round += 1) costs.push(await charge(bench, sender, daemon, batch));
      samples.set(live, costs);
    }
    await prove(bench, sender, opened, filled);
  });
  return samples;
}

/** CPU time per packet of one batch, in microseconds, less what the daemon spends in the same time when nothing comes. */
async function charge(bench: Bench, sender: Sender, daemon: Daemon, batch: number): Promise<number> {
  const flood = { destination: bench.server.address4, firstSource: plus(BATCH_FIRST, 0), sources: batch, count: batch };
  const resting = daemon.cpu();
  await sleep(REST);
  const before = daemon.cpu();
  const begin = performance.now();
  await sender.flood({ ...flood, rate: RATE, seconds: 60 });
  if (!(await daemon.idle(30_000))) throw new Error(`${daemon.contestant} does not come to rest after a batch`);
  const spent = daemon.cpu() - before;
  const rest = ((before - resting) * (performance.now() - begin)) / REST;
  await sender.flood({ ...flood, port: 9000, rate: RATE, seconds: 60 });
  await daemon.idle(30_000);
  return Math.max(0, spent - rest) / batch;
}

const REST = 200;

/** Compilers and caches get to know the work; what it leaves is retired as batches are. */
async function warmUp(bench: Bench, sender: Sender, daemon: Daemon): Promise<void> {
  const flood = { destination: bench.server.address4, firstSource: plus(BATCH_FIRST, 0), sources: 500, count: 500 };
  for (let round = 0; round < 20; round += 1) {
    for (const port of [7000, 9000]) await sender.flood({ ...flood, port, rate: RATE, seconds: 5 });
  }
  await daemon.idle();
}

/** The oldest, the youngest and two attempts between open the door. */
async function prove(bench: Bench, sender: Sender, opened: string, filled: number): Promise<void> {
  const sources = [0, filled / 3, (filled * 2) / 3, filled - 1].map((index) => plus(FIRST, Math.floor(index)));
  const target = `dst=${bench.server.address4}:`;
  for (const source of sources) await sender.send(`src=${source} ${target} 8000 9000`);
  for (let tries = 0; tries < 50; tries += 1) {
    const seen = existsSync(opened) ? readFileSync(opened, 'utf8').split('\n') : [];
    if (sources.every((source) => seen.includes(source))) return;
    await sleep(100);
  }
  throw new Error(`Of ${filled} attempts not all were alive: ${sources.join(', ')} knocked to the end, not all opened`);
}

function plus(address: typeof FIRST, count: number): string {
  return printAddress({ ...address, d: (address.d + count) | 0 });
}
