/**
 * What a daemon costs a machine on which nobody knocks: at rest, and under traffic that is none of its business. The last kind of
 * traffic, SYNs to ports without a listener, is ours to look at on purpose: it is how a port scan spoils its own attempts.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { startSender } from '../test/support/sender.ts';
import type { Figure, Target } from './figure.ts';
import { CONTESTANTS, type Measurement, withDaemon } from './measurement.ts';

const RATE = 20_000;
const PUBLIC_PORT = 80;
const LISTEN = `require('node:net').createServer().listen(${PUBLIC_PORT}, () => console.log('ready'))`;

const TRAFFIC = [
  { name: 'UDP to a port that is no step', protocol: 'udp', port: 5353, target: true },
  { name: 'SYNs to a public port', protocol: 'tcp', port: PUBLIC_PORT, target: true },
  { name: 'SYNs to a port without a listener', protocol: 'tcp', port: 12_345, target: false },
] as const;

const NOTHING: Target = { text: '~0 (< 1 %)', met: (ours) => ours.median < 1 };

interface Samples {
  readonly ours: number[];
  readonly knockd: number[];
}

export const noKnock: Measurement = {
  name: 'rest',
  title: 'CPU and memory at rest and under traffic that is no knock',
  run: async (bench) => {
    const table = new Map<string, Samples>();
    const put = (row: string, contestant: keyof Samples, value: number): void => {
      const samples = table.get(row) ?? { ours: [], knockd: [] };
      samples[contestant].push(value);
      table.set(row, samples);
    };
    const listener = bench.server.spawn([process.execPath, '-e', LISTEN]);
    await listener.waitForLine(/^ready$/);
    const seconds = bench.quick ? 1 : 3;
    const rounds = bench.quick ? 1 : 2;
    for (let round = 1; round <= rounds; round += 1) {
      for (const contestant of CONTESTANTS) {
        bench.tell(`rest: round ${round} of ${rounds}, ${contestant}`);
        await withDaemon(bench, contestant, { command: 'true' }, async (daemon) => {
          const busy = async (act: () => Promise<unknown>): Promise<number> => {
            const [cpu, begin] = [daemon.cpu(), performance.now()];
            await act();
            return (daemon.cpu() - cpu) / (performance.now() - begin) / 10;
          };
          const sender = startSender(bench.client);
          await sender.send([]);
          put('CPU at rest', contestant, await busy(() => sleep(seconds * 1000)));
          const { resident, proportional, private: own } = daemon.memory();
          put('resident at rest', contestant, resident);
          put('proportional at rest', contestant, proportional);
          put('private at rest', contestant, own);
          for (const { name, protocol, port } of TRAFFIC) {
            const flood = { destination: bench.server.address4, protocol, port, rate: RATE, seconds };
            put(name, contestant, await busy(() => sender.flood(flood)));
          }
        });
      }
    }
    await listener.stop();
    return [...table].map(([row, samples]) => figureOf(row, samples));
  },
};

function figureOf(row: string, samples: Samples): Figure {
  if (/^(resident|proportional|private)/.test(row)) return { name: `${row}, all processes`, unit: 'MiB', ...samples };
  const traffic = TRAFFIC.find(({ name }) => name === row);
  if (!traffic) return { name: row, unit: '% of a core', ...samples, target: NOTHING };
  const name = `CPU under ${RATE / 1000} kpps ${row}`;
  return { name, unit: '% of a core', ...samples, ...(traffic.target && { target: NOTHING }) };
}
