/**
 * Ten honest knocks while strangers' first steps rain down, each from another spoofed address. The rain begins longer before the
 * first knock than a sequence may take, so that attempts expire all the while; it ends after the last one. An opening counts when the
 * command has run within three seconds of the rain's end.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSender } from '../test/support/sender.ts';
import type { Contestant } from './daemon.ts';
import type { Figure } from './figure.ts';
import { type Bench, CONTESTANTS, type Measurement, withDaemon } from './measurement.ts';

const KNOCKS = 10;
/** Seconds. */
const WINDOW = { full: 5, quick: 1 } as const;
/** Milliseconds, as all that follow. */
const BETWEEN_KNOCKS = 400;
const PATIENCE = 3000;

export const honestOpens: Measurement = {
  name: 'flood',
  title: 'honest openings of 10 under a spoofed first-step flood',
  run: async (bench) => {
    const figures: Figure[] = [];
    for (const rate of bench.quick ? [25_000] : [1000, 5000, 25_000]) {
      const samples = { ours: [] as number[], knockd: [] as number[] };
      const costs = { ours: [] as number[], knockd: [] as number[] };
      let reached = Number.POSITIVE_INFINITY;
      for (const contestant of CONTESTANTS) {
        bench.tell(`flood: ${rate.toLocaleString('en')} packets a second, ${contestant}`);
        const { opened, sent, cost } = await measure(bench, contestant, rate);
        samples[contestant].push(opened);
        costs[contestant].push(cost);
        reached = Math.min(reached, sent);
      }
      figures.push({
        name: `opened of ${KNOCKS} at ${rate / 1000} kpps`,
        unit: 'openings',
        ...samples,
        target: { text: `${KNOCKS} of ${KNOCKS}`, met: (ours) => ours.min === KNOCKS },
        note: `${(reached / 1000).toFixed(1)} kpps sent`,
      });
      figures.push({ name: `CPU per packet sent at ${rate / 1000} kpps`, unit: 'µs CPU', ...costs });
    }
    return figures;
  },
};

async function measure(
  bench: Bench,
  contestant: Contestant,
  rate: number,
): Promise<{ readonly opened: number; readonly sent: number; readonly cost: number }> {
  const file = join(bench.folder, `flood-opened-${contestant}-${rate}`);
  const window = bench.quick ? WINDOW.quick : WINDOW.full;
  const destination = bench.server.address4;
  return withDaemon(bench, contestant, { command: `echo %IP% >>${file}`, window }, async (daemon) => {
    const rain = startSender(bench.client);
    const honest = startSender(bench.client);
    // The first order waits until the senders are up.
    await Promise.all([rain, honest].map((sender) => sender.send([])));
    const lead = (window + 1) * 1000;
    const seconds = (lead + KNOCKS * BETWEEN_KNOCKS) / 1000 + 0.5;
    const before = daemon.cpu();
    const flood = rain.flood({ destination, rate, seconds });
    await sleep(lead);
    for (let number = 1; number <= KNOCKS; number += 1) {
      const next = sleep(BETWEEN_KNOCKS);
      await honest.send(`src=10.77.1.${100 + number} dst=${destination}: gap=0.05 7000 8000 9000`);
      await next;
    }
    const { sent, seconds: took } = await flood;
    const deadline = performance.now() + PATIENCE;
    const opened = (): number => (existsSync(file) ? new Set(readFileSync(file, 'utf8').trim().split('\n')).size : 0);
    while (opened() < KNOCKS && performance.now() < deadline) await sleep(50);
    return { opened: opened(), sent: sent / took, cost: (daemon.cpu() - before) / sent };
  });
}
