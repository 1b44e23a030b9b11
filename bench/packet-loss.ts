/**
 * First steps as fast as the sender can: how many never reach the daemon. Ours counts what the kernel had no room for; knockd counts
 * nothing, but logs a line for each first step it has seen. Every line of ours is accounted for: sent = received + lost.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { startSender } from '../test/support/sender.ts';
import type { Daemon } from './daemon.ts';
import type { Figure } from './figure.ts';
import { type Bench, CONTESTANTS, type Measurement, withDaemon } from './measurement.ts';

const BURST = 100_000;
const LONG_BURST = { full: 1_000_000, quick: 300_000 } as const;
const AT_FULL_SPEED = 10_000_000;
const NO_LOSS = { text: 'none', met: ({ max }: { readonly max: number }) => max === 0 };

export const packetLoss: Measurement = {
  name: 'loss',
  title: 'packets lost at the highest rate the sender reaches',
  run: async (bench) => {
    const bursts = { ours: [] as number[], knockd: [] as number[] };
    const rates: number[] = [];
    const rounds = bench.quick ? 1 : 3;
    for (let round = 1; round <= rounds; round += 1) {
      for (const contestant of CONTESTANTS) {
        bench.tell(`loss: round ${round} of ${rounds}, ${contestant}`);
        const { lost, rate } = await withDaemon(bench, contestant, { command: 'true', window: 60 }, (daemon) =>
          burst(bench, daemon, BURST),
        );
        bursts[contestant].push(lost);
        rates.push(rate);
      }
    }
    bench.tell('loss: a long burst, ours');
    const length = bench.quick ? LONG_BURST.quick : LONG_BURST.full;
    const long = await withDaemon(bench, 'ours', { command: 'true', window: 60 }, (daemon) =>
      burst(bench, daemon, length),
    );
    return [lossFigure(BURST, bursts, Math.max(...rates)), lossFigure(length, { ours: [long.lost] }, long.rate)];
  },
};

function lossFigure(count: number, samples: Pick<Figure, 'ours' | 'knockd'>, rate: number): Figure {
  const name = `lost of ${count.toLocaleString('en')} first steps`;
  return { name, unit: '%', ...samples, target: NO_LOSS, note: `${Math.round(rate / 1000)} kpps sent` };
}

async function burst(
  bench: Bench,
  daemon: Daemon,
  count: number,
): Promise<{ readonly lost: number; readonly rate: number }> {
  const flood = { destination: bench.server.address4, rate: AT_FULL_SPEED, count, seconds: 20 };
  const { sent, seconds } = await startSender(bench.client).flood(flood);
  if (!(await daemon.idle(30_000))) throw new Error(`${daemon.contestant} does not come to rest after a burst`);
  const lost = daemon.contestant === 'ours' ? await countLost(daemon, sent) : sent - stageLines(daemon);
  return { lost: (lost / sent) * 100, rate: sent / seconds };
}

function stageLines(daemon: Daemon): number {
  return daemon.log().split(': Stage 1\n').length - 1;
}

/** Asks until the watcher's once-a-second counts have caught up with what was sent. */
async function countLost(daemon: Daemon, sent: number): Promise<number> {
  for (let tries = 0; tries < 20; tries += 1) {
    daemon.running.kill('SIGUSR2');
    await sleep(250);
    const last = [...daemon.log().matchAll(/ (\d+) packets, (\d+) lost/g)].at(-1);
    const [received, lost] = [Number(last?.[1]), Number(last?.[2])];
    if (received + lost >= sent || received >= sent) return lost;
  }
  throw new Error(`Our counts do not add up to the ${sent} packets sent`);
}
