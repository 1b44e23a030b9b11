/**
 * What opening a door for a source takes, when so many grants live already: by our drivers, and the way a knockd door does it, with a
 * shell that starts `nft` or `iptables`. In turns, in one process, until the kernel has it. time-opens.ts does the work.
 */

import { startProgram } from '../test/support/program.ts';
import type { Figure, Target } from './figure.ts';
import type { Bench, Measurement } from './measurement.ts';
import type { OpenTimes, TimeOpens } from './time-opens.ts';

const LEVELS = [10, 1000, 100_000] as const;
const RIVALS = { nftables: 'nft add element', iptables: 'iptables -A' } as const;

const IN_A_MILLISECOND: Target = { text: '< 1 ms', met: (ours) => ours.median < 1 };

export const grantOpening: Measurement = {
  name: 'open',
  title: 'opening a door in the kernel, by driver and live grants',
  run: async (bench) => [...(await measure(bench, 'nftables')), ...(await measure(bench, 'iptables'))],
};

async function measure(bench: Bench, driver: keyof typeof RIVALS): Promise<readonly Figure[]> {
  const program = startProgram(bench.server, '../../bench/time-opens.ts', driver);
  const give = async <T>(order: TimeOpens): Promise<T> => {
    const { answer, error } = (await program.ask({ order })) as { answer?: T; error?: string };
    if (error !== undefined) throw new Error(error);
    return answer as T;
  };
  const figures: Figure[] = [];
  try {
    for (const live of LEVELS) {
      bench.tell(`open: ${driver} at ${live.toLocaleString('en')} live grants`);
      await give({ do: 'fill', live });
      const times = await give<OpenTimes>({ do: 'time', ours: bench.quick ? 20 : 100, theirs: bench.quick ? 8 : 30 });
      const name = `${driver} at ${live.toLocaleString('en')} live grants, beside \`${RIVALS[driver]}\``;
      const target = driver === 'nftables' && { target: IN_A_MILLISECOND };
      figures.push({ name, unit: 'ms', ours: times.ours, knockd: times.theirs, ...target });
    }
  } finally {
    await give({ do: 'remove' });
    await program.running.stop();
  }
  return figures;
}
