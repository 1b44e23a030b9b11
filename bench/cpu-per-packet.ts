/**
 * What a spoofed first step costs, all processes of a daemon together, by how many attempts are alive already.
 *
 * A level is filled with first steps from distinct sources, then batches of further ones are charged; each is an attempt more, so a
 * level's batches lie around it. At the end sources from all over the fill finish their knock: that the door opens for each proves
 * that the attempts were alive. Both daemons get the same packets; knockd as many as it can bear.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAddress, printAddress } from '../src/core/address.ts';
import { type Sender, startSender } from '../test/support/sender.ts';
import type { Contestant, Daemon } from './daemon.ts';
import type { Figure, Target } from './figure.ts';
import { type Bench, CONTESTANTS, type Measurement, withDaemon } from './measurement.ts';

interface Level {
  readonly live: number;
  readonly batch: number;
  readonly batches: number;
  /** A daemon is started afresh so often, up to this level: the low ones have room for few packets. */
  readonly rounds: number;
}

const LEVELS: readonly Level[] = [
  { live: 1000, batch: 1000, batches: 1, rounds: 4 },
  { live: 20_000, batch: 2000, batches: 2, rounds: 4 },
  { live: 100_000, batch: 5000, batches: 4, rounds: 1 },
  { live: 1_000_000, batch: 10_000, batches: 4, rounds: 1 },
];
/** More than this knockd does not get through in bearable time. */
const MOST_FOR_KNOCKD = 20_000;
/** Fast enough that waking up, which is paid by the millisecond and not by the packet, does not count for much; see `flood` for less. */
const RATE = 100_000;
const FILL_RATE = { ours: 100_000, knockd: 8_000 } as const;
const FIRST = parseAddress('100.64.0.0')!;
/** Far from the others. */
const WARM_UP_FIRST = parseAddress('101.0.0.0')!;
const WINDOW = 600;

const FLAT: Target = { text: '< 2 µs, flat to 1,000,000', met: (ours) => ours.median < 2 };

export const cpuPerPacket: Measurement = {
  name: 'cpu',
  title: 'CPU time per first step, by live attempts',
  run: async (bench) => {
    const samples = { ours: new Map<number, number[]>(), knockd: new Map<number, number[]>() };
    const most = bench.quick ? 1 : Math.max(...LEVELS.map(({ rounds }) => rounds));
    for (let round = 1; round <= most; round += 1) {
      for (const contestant of CONTESTANTS) await measure(bench, contestant, round, samples[contestant]);
    }
    return LEVELS.map(({ live }): Figure => {
      const name = `first step at ${live.toLocaleString('en')} live attempts`;
      const knockd = samples.knockd.get(live);
      return { name, unit: 'µs CPU', ours: samples.ours.get(live) ?? [], ...(knockd && { knockd }), target: FLAT };
    });
  },
};

async function measure(
  bench: Bench,
  contestant: Contestant,
  round: number,
  samples: Map<number, number[]>,
): Promise<void> {
  const opened = join(bench.folder, `cpu-opened-${contestant}-${round}`);
  const bearable = contestant === 'ours' ? Number.POSITIVE_INFINITY : MOST_FOR_KNOCKD;
  const levels = LEVELS.filter(({ live, rounds }) => live <= bearable && round <= rounds);
  const door = { command: `echo %IP% >>${opened}`, window: WINDOW };
  await withDaemon(bench, contestant, door, async (daemon) => {
    const sender = startSender(bench.client);
    await warmUp(bench, sender, daemon);
    const pour = async (count: number, rate: number): Promise<void> => {
      const flood = { firstSource: plus(FIRST, sent), sources: count, count, rate, seconds: 60 };
      await sender.flood({ destination: bench.server.address4, ...flood });
      sent += count;
      if (!(await daemon.idle(30_000))) throw new Error(`${contestant} does not come to rest at ${sent} attempts`);
    };
    let sent = 0;
    for (const { live, batch, batches } of levels) {
      bench.tell(`cpu: round ${round}, ${contestant}, ${live.toLocaleString('en')} live attempts`);
      await pour(live - (batch * batches) / 2 - sent, FILL_RATE[contestant]);
      for (let number = 0; number < batches; number += 1) {
        const cost = await charge(daemon, () => pour(batch, RATE));
        samples.set(live, [...(samples.get(live) ?? []), cost / batch]);
      }
    }
    await prove(bench, sender, daemon, opened, sent);
  });
}

/** CPU time in microseconds, less what the daemon spends in the same time when nothing comes. */
async function charge(daemon: Daemon, act: () => Promise<void>): Promise<number> {
  const resting = daemon.cpu();
  await sleep(REST);
  const [before, begin] = [daemon.cpu(), performance.now()];
  await act();
  const spent = daemon.cpu() - before;
  return Math.max(0, spent - ((before - resting) * (performance.now() - begin)) / REST);
}

const REST = 500;

/** Compilers and caches get to know the work; a packet out of turn ends what each source began. */
async function warmUp(bench: Bench, sender: Sender, daemon: Daemon): Promise<void> {
  const flood = { destination: bench.server.address4, firstSource: plus(WARM_UP_FIRST, 0), sources: 1000, count: 1000 };
  for (let round = 0; round < 40; round += 1) {
    for (const port of [7000, 9000]) await sender.flood({ ...flood, port, rate: RATE, seconds: 5 });
  }
  await daemon.idle();
}

/**
 * Attempts of all ages open the door: three in four at least, because a daemon may have lost packets of the fill. Not the very
 * oldest, with whose end knockd forgets all the others.
 */
async function prove(bench: Bench, sender: Sender, daemon: Daemon, opened: string, filled: number): Promise<void> {
  const sources = Array.from({ length: PROOFS }, (_, index) =>
    plus(FIRST, Math.ceil((filled - 1) * ((index + 1) / PROOFS))),
  );
  for (const source of sources) await sender.send(`src=${source} dst=${bench.server.address4}: 8000 9000`);
  const alive = (): number => {
    const seen = existsSync(opened) ? readFileSync(opened, 'utf8').split('\n') : [];
    return sources.filter((source) => seen.includes(source)).length;
  };
  for (let tries = 0; alive() < PROOFS && tries < 50; tries += 1) await sleep(100);
  if (alive() >= PROOFS * 0.75) return;
  throw new Error(
    `${daemon.contestant}: of ${PROOFS} of ${filled} attempts only ${alive()} were alive and opened the door`,
  );
}

const PROOFS = 20;

function plus(address: typeof FIRST, count: number): string {
  return printAddress({ ...address, d: (address.d + count) | 0 });
}
