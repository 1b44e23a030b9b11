/** The knock engine alone, without kernel and processes: engine.ts in a process of its own, whose memory is nobody else's. */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EngineCost } from './engine.ts';
import type { Figure } from './figure.ts';
import type { Measurement } from './measurement.ts';

export const engineCost: Measurement = {
  name: 'engine',
  title: 'the knock engine alone, by live attempts',
  run: async (bench) => {
    bench.tell('engine');
    const script = join(import.meta.dirname, 'engine.ts');
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script, '--json']);
    return (JSON.parse(stdout) as readonly EngineCost[]).flatMap(
      ({ live, unknown, first, stray, megabytes }): Figure[] => {
        const at = `at ${live.toLocaleString('en')} live attempts`;
        const row = (name: string, value: number): Figure => ({ name: `${name} ${at}`, unit: 'ns', ours: [value] });
        return [
          row('new first step', first),
          row('stray of an attempt', stray),
          row('unknown source', unknown),
          // With fewer, the collector's noise is larger.
          ...(live < 1_000_000 ? [] : [{ name: `memory ${at}`, unit: 'MB', ours: [megabytes] }]),
        ];
      },
    );
  },
};
