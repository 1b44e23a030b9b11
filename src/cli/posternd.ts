/** posternd: the daemon in the foreground, for service managers: `ready` on standard output and sd_notify when the first knock may come. */

import { Command } from 'commander';
import { readOptions } from './knockd-options.ts';
import { runKnockd } from './knockd-run.ts';
import { absolute, loadKnockdConf } from './load-knockd-conf.ts';
import { readVersion } from './version.ts';

/** Runs the daemon; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('posternd')
    .description('Opens doors to whoever knocks right; runs in the foreground')
    .version(readVersion())
    .option('-c, --config <file>', 'configuration, in the format of knockd.conf', '/etc/knockd.conf')
    .option('-i, --interface <names>', 'interfaces to listen on: one, several with commas, or "any"')
    .option('--state <dir>', 'where pending stop commands are kept', '/var/lib/postern')
    .option('--strict', 'refuse a configuration with warnings', false)
    .option('-v, --verbose', 'say every event on standard output', false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'posternd: ')) });
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    const { exitCode } = error as { exitCode?: number };
    return exitCode === 0 ? 0 : 2;
  }
  const given = program.opts<{
    config: string;
    interface?: string;
    state: string;
    strict: boolean;
    verbose: boolean;
  }>();
  const words = [...(given.verbose ? ['-v'] : []), ...(given.strict ? ['--strict'] : [])];
  if (given.interface !== undefined) words.push('-i', given.interface);
  const invocation = readOptions(
    [...words, '-c', given.config, '--state', absolute(given.state)],
    'posternd',
    process.platform,
  );
  if (!('run' in invocation)) return 2;
  const options = { ...invocation.run, config: absolute(given.config) };
  const load = () =>
    loadKnockdConf(options.config, { shownAs: given.config, interface: options.interface, strict: options.strict });
  const loaded = load();
  for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
  if (!loaded.config) return 1;
  const ready = (): void => void process.stdout.write('ready\n');
  return runKnockd({ options, config: loaded.config, detached: false, reload: load, ready });
}
