/** Scans of all 65,535 TCP ports, as fast as they go, each from another address: how many open the door. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Contestant } from './daemon.ts';
import { startKnocker } from './knocker.ts';
import { type Bench, type Measurement, withDaemon } from './measurement.ts';

const ORDERS = ['ascending', 'random'] as const;
const SWEEPS = { full: 12, quick: 2 } as const;

export const portSweeps: Measurement = {
  name: 'sweeps',
  title: 'full port sweeps that open the door',
  run: async (bench) => {
    const count = bench.sweeps ?? (bench.quick ? SWEEPS.quick : SWEEPS.full);
    const opened = {
      ours: await measure(bench, 'ours', count),
      knockd: await measure(bench, 'knockd', count),
    };
    return ORDERS.map((order, index) => ({
      name: `opened by ${count.toLocaleString('en')} sweeps in ${order} order`,
      unit: 'openings',
      ours: [opened.ours[index]!],
      knockd: [opened.knockd[index]!],
      target: { text: '0', met: ({ max }) => max === 0 },
    }));
  },
};

/** Openings by order. The n-th sweep of an order has a source of its own, which tells afterwards what opened. */
async function measure(bench: Bench, contestant: Contestant, count: number): Promise<readonly number[]> {
  const file = join(bench.folder, `sweeps-opened-${contestant}`);
  await withDaemon(bench, contestant, { command: `echo %IP% >>${file}` }, async (daemon) => {
    const knocker = startKnocker(bench.client);
    for (let round = 0; round < count; round += 1) {
      if (round % 10 === 0) bench.tell(`sweeps: ${contestant}, ${round} of ${count} in each order`);
      for (const [index, order] of ORDERS.entries()) {
        await knocker.sweep({ source: source(index, round), destination: bench.server.address4, order });
      }
    }
    await knocker.stop();
    await daemon.idle(5000);
  });
  const seen = new Set(existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []);
  return ORDERS.map(
    (_, index) =>
      Array.from({ length: count }, (__, round) => source(index, round)).filter((from) => seen.has(from)).length,
  );
}

function source(order: number, round: number): string {
  return `10.${100 + order}.${round >>> 8}.${round & 0xff}`;
}
