/**
 * From SIGKILL of the watcher until its successor has shut itself in and looks at packets (the daemon says so with -D), and how
 * many knocks are lost when all three packets arrive while there is no watcher: the ring keeps them. knockd has no such half.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSender } from '../test/support/sender.ts';
import type { Daemon } from './daemon.ts';
import { type Measurement, withDaemon } from './measurement.ts';

const READY = /^watcher: user /;
const PATIENCE = 5000;

export const watcherRestart: Measurement = {
  name: 'restart',
  title: 'a watcher that was killed, until the next one watches',
  run: async (bench) => {
    const rounds = bench.quick ? 2 : 9;
    const times: number[] = [];
    let opened = 0;
    for (let round = 1; round <= rounds; round += 1) {
      if (round % 3 === 1) bench.tell(`restart: round ${round} of ${rounds}`);
      const file = join(bench.folder, `restart-opened-${round}`);
      await withDaemon(bench, 'ours', { command: `echo >${file}`, options: ['-D'] }, async (daemon) => {
        const sender = startSender(bench.client);
        await sender.send([]);
        const { running } = daemon;
        const from = running.lines.length;
        const begin = performance.now();
        process.kill(watcherOf(daemon), 'SIGKILL');
        const knock = sender.send(`src=10.77.1.100 dst=${bench.server.address4}: gap=0.005 7000 8000 9000`);
        await running.waitForLine(READY, PATIENCE, from);
        times.push(performance.now() - begin);
        await knock;
        for (let tries = 0; tries < 40 && !existsSync(file); tries += 1) await sleep(25);
        if (existsSync(file) && readFileSync(file, 'utf8') === '\n') opened += 1;
      });
    }
    return [
      {
        name: 'SIGKILL → the next watcher is confined and watches',
        unit: 'ms',
        ours: times,
        target: { text: '< 200 ms', met: ({ max }) => max < 200 },
      },
      {
        name: `knocks that opened of ${rounds} made meanwhile`,
        unit: 'openings',
        ours: [opened],
        target: { text: 'all', met: ({ min }) => min === rounds },
      },
    ];
  },
};

function watcherOf(daemon: Daemon): number {
  const found = daemon.pids().find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('watcher'));
  if (found === undefined) throw new Error('There is no watcher');
  return found;
}
