/**
 * `postern rollback`, which people do not call: waits for the end of a trial and takes the change back, unless it was confirmed. It stands on
 * its own feet: the daemon may be dead by then, and the session that armed it gone.
 */

import { setTimeout as pause } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { parseDuration } from '../config/quantity.ts';
import { readPending } from '../store/pending-change.ts';
import { readDurationText } from './arguments.ts';
import { absolute } from './load-knockd-conf.ts';
import { takeBack } from './take-back.ts';
import type { Terminal } from './terminal.ts';

const LOOK_EVERY = 500;
/** What the firewall or the disk refuses is tried again, so often. */
const ATTEMPTS = 24;
const AGAIN = 5000;

export function addRollback(program: Command, end: (status: number) => void, terminal: Terminal): void {
  program
    .command('rollback', { hidden: true })
    .description('take back a change that nobody confirmed')
    .requiredOption('--state <folder>', 'the folder of the state')
    .requiredOption('--token <token>', 'which change')
    .addOption(new Option('--after <duration>', 'how long to wait before').argParser(readDurationText))
    .action(async (options: { state: string; token: string; after?: string }) => {
      // The terminal that armed it may go; it may not.
      for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
      const folder = absolute(options.state);
      const reading = parseDuration(options.after ?? '0s');
      let left = 'value' in reading ? reading.value : 0;
      const isPending = (): boolean => readPending(folder)?.token === options.token;
      for (; left > 0 && isPending(); left -= LOOK_EVERY) await pause(Math.min(left, LOOK_EVERY));
      for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
        try {
          // Who is at it may die before it is done.
          while ((await takeBack(options.token, folder)) === 'busy') await pause(LOOK_EVERY);
          return end(0);
        } catch (error) {
          terminal.stderr.write(`postern: Cannot take the change back: ${(error as Error).message}\n`);
        }
        await pause(AGAIN);
      }
      end(1);
    });
}
