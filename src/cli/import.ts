/**
 * `postern import`: a knockd.conf as a postern.toml, on standard output or into a new file; what is different afterwards is named on
 * standard error. Exit 0 when it was written, 1 when knockd would not take the file or the new one is there already.
 */

import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { importKnockdConf } from '../config/import-knockd.ts';
import { reasonOf } from '../keeper/journal.ts';
import { absolute, loadKnockdConf } from './load-knockd-conf.ts';
import { isPosternToml } from './load-postern-toml.ts';

export function addImport(program: Command, end: (status: number) => void): void {
  program
    .command('import')
    .description('turn a knockd.conf into a postern.toml, and name what is different')
    .argument('[file]', 'the configuration of knockd', '/etc/knockd.conf')
    .option('-o, --output <file>', 'write it to this file, which must not be there yet; else to standard output')
    .action((file: string, options: { output?: string }) => {
      if (isPosternToml(absolute(file))) {
        process.stderr.write(`${file} is a postern.toml already\nhint: Look at it: postern check ${file}\n`);
        return end(1);
      }
      const loaded = loadKnockdConf(absolute(file), { shownAs: file, strict: false, once: true });
      if (!loaded.config) {
        for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
        return end(1);
      }
      const { toml, notes } = importKnockdConf(loaded.config, { file });
      try {
        // Whoever reads the sequence can knock.
        if (options.output !== undefined) writeFileSync(absolute(options.output), toml, { mode: 0o600, flag: 'wx' });
        else process.stdout.write(toml);
      } catch (error) {
        process.stderr.write(`${options.output}: ${reasonOf(error)}\n`);
        return end(1);
      }
      for (const note of notes) process.stderr.write(`${note}\n`);
      end(0);
    });
}
