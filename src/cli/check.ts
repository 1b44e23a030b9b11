/**
 * `postern check`: every problem of a configuration at once, be it a postern.toml or a knockd.conf; exit 0 when a daemon would
 * take it, 1 when not.
 */

import { existsSync } from 'node:fs';
import { styleText } from 'node:util';
import type { Command } from 'commander';
import { absolute, loadKnockdConf } from './load-knockd-conf.ts';
import { isPosternToml, loadPosternToml } from './load-postern-toml.ts';

const NATIVE = '/etc/postern/postern.toml';
const KNOCKD = '/etc/knockd.conf';

export function addCheck(program: Command, end: (status: number) => void): void {
  program
    .command('check')
    .description('check a configuration and name all its problems')
    .argument(
      '[file]',
      `the configuration (default: that of --config, else ${NATIVE}, or ${KNOCKD} where there is none)`,
    )
    .option('--strict', 'warnings count as errors', false)
    .option('--json', 'print the problems as one JSON array', false)
    .action((given: string | undefined, options: { strict: boolean; json: boolean }) => {
      const file = given ?? program.opts<{ config?: string }>().config ?? (existsSync(NATIVE) ? NATIVE : KNOCKD);
      const path = absolute(file);
      const load = isPosternToml(path) ? loadPosternToml : loadKnockdConf;
      const loaded = load(path, { shownAs: file, strict: options.strict });
      const errors = loaded.problems.filter((problem) => problem.severity === 'error').length;
      const warnings = loaded.problems.length - errors;
      if (options.json) process.stdout.write(`${JSON.stringify(loaded.problems)}\n`);
      else for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
      if (!options.json && loaded.config) {
        const doors = count(loaded.config.doors.length, 'door');
        const doubts = warnings === 0 ? '' : `, ${count(warnings, 'warning')}`;
        process.stdout.write(`${styleText('green', 'ok', { stream: process.stdout })}: ${doors}${doubts}\n`);
      }
      end(loaded.config ? 0 : 1);
    });
}

function count(number: number, thing: string): string {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}
