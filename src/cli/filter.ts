/** `postern filter`: the capture filter of a configuration as the kernel would run it, in the notation of `tcpdump -d`. */

import type { Command } from 'commander';
import { printProgram } from '../core/bpf.ts';
import { buildCaptureFilter } from '../core/capture-filter.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { publicPorts } from '../platform/listeners.ts';
import { absolute, loadKnockdConf } from './load-knockd-conf.ts';
import { isPosternToml } from './load-postern-toml.ts';

export function addFilter(program: Command, end: (status: number) => void): void {
  program
    .command('filter')
    .description('print the capture filter that the kernel would run for a knockd.conf')
    .argument('[file]', 'the configuration', '/etc/knockd.conf')
    .option('-i, --interface <name>', 'the interface whose addresses count, or "any"', 'any')
    .action((file: string, options: { interface: string }) => {
      if (isPosternToml(absolute(file))) {
        process.stderr.write(
          `postern: ${file} is a postern.toml: this command shows the filter of a knockd.conf only\n`,
        );
        return end(1);
      }
      const loaded = loadKnockdConf(absolute(file), { shownAs: file, strict: false, once: true });
      if (!loaded.config) {
        for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
        return end(1);
      }
      const addresses = addressesOf(options.interface, true);
      const filter = buildCaptureFilter({
        doors: loaded.config.doors.map((door) => door.knock),
        addresses,
        publicPorts: { tcp: publicPorts(addresses) },
        ipv6: true,
      });
      process.stdout.write(`${printProgram(filter)}\n`);
      end(0);
    });
}
