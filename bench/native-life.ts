/**
 * What posternd costs in its life: until it is ready, at rest, and when its configuration is read again. A reload is timed as people
 * do it, `postern reload` with the start of that program, and inside the daemon, over a connection that is there already.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectControl } from '../src/control/client.ts';
import { parentOf } from '../test/support/knockd-host.ts';
import type { Posternd } from '../test/support/posternd-host.ts';
import type { Figure } from './figure.ts';
import type { Bench, Measurement } from './measurement.ts';
import { doorsText, startNative } from './native-daemon.ts';
import { memoryOf } from './processes.ts';

const MANY = 100;
/** Milliseconds until what the start left has settled. */
const REST = 1000;

export const nativeLife: Measurement = {
  name: 'reload',
  title: 'reload, start and memory of the native daemon',
  run: async (bench) => {
    const figures = new Map<string, { unit: string; samples: number[] }>();
    const put = (name: string, unit: string, value: number): void => {
      const figure = figures.get(name) ?? { unit, samples: [] };
      figure.samples.push(value);
      figures.set(name, figure);
    };
    const rounds = bench.quick ? 1 : 5;
    const reloads = bench.quick ? 3 : 5;
    for (let round = 1; round <= rounds; round += 1) {
      for (const doors of [1, MANY]) {
        bench.tell(`reload: round ${round} of ${rounds}, ${doors === 1 ? 'one door' : `${doors} doors`}`);
        const begin = performance.now();
        const daemon = await startNative(bench, doors);
        const label = doors === 1 ? '1 door' : `${doors} doors`;
        try {
          put(`start → ready, ${label}`, 'ms', performance.now() - begin);
          await sleep(REST);
          for (const [part, pid] of [
            ['keeper', daemon.running.pid],
            ['zygote', parentOf(daemon.watcher())],
            ['watcher', daemon.watcher()],
          ] as const) {
            const { resident, proportional } = memoryOf([pid]);
            put(`resident at rest, ${part}, ${label}`, 'MiB', resident);
            put(`proportional at rest, ${part}, ${label}`, 'MiB', proportional);
          }
          if (doors === MANY) await timeReloads(bench, daemon, reloads, put);
        } finally {
          await daemon.stop();
          await bench.server.exec(['nft', 'flush', 'ruleset']);
        }
      }
    }
    return [...figures]
      .toSorted(([a], [b]) => rank(a) - rank(b))
      .map(([name, { unit, samples }]): Figure => ({ name, unit, ours: samples }));
  },
};

async function timeReloads(
  bench: Bench,
  daemon: Posternd,
  count: number,
  put: (name: string, unit: string, value: number) => void,
): Promise<void> {
  const postern = join(bench.posternd, '../postern');
  const config = join(daemon.folder, 'postern.toml');
  for (let index = 0; index < count; index += 1) {
    daemon.write(doorsText(MANY, `${31 + 2 * index}s`));
    const begin = performance.now();
    await bench.server.exec([process.execPath, postern, '--config', config, 'reload']);
    put(`postern reload, ${MANY} doors`, 'ms', performance.now() - begin);
    daemon.write(doorsText(MANY, `${32 + 2 * index}s`));
    using client = await connectControl(join(daemon.folder, 'state/control.sock'));
    const asked = performance.now();
    await client.reload();
    put(`reload over the control socket, ${MANY} doors`, 'ms', performance.now() - asked);
  }
}

const ORDER = [/^postern reload/, /^reload over/, /^start/, /^resident/, /^proportional/];

function rank(name: string): number {
  return ORDER.findIndex((pattern) => pattern.test(name));
}
