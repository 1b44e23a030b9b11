/**
 * knockd: the command line of knockd 0.8 in front of the keeper. Reads the configuration, says what knockd would say about it,
 * becomes a daemon if asked to, and runs (`knockd-run.ts`) until a signal ends it with its own number as exit status.
 */

import { calledAs } from './called-as.ts';
import { isDaemonChild, startInBackground } from './daemon.ts';
import { type KnockdOptions, readOptions, USAGE } from './knockd-options.ts';
import { runKnockd } from './knockd-run.ts';
import { absolute, loadKnockdConf } from './load-knockd-conf.ts';
import { readVersion } from './version.ts';

/** Runs knockd; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const daemonChild = isDaemonChild();
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // A reader that went away.
  const invocation = readOptions(argv, calledAs(), process.platform);
  if ('refuse' in invocation) {
    process.stderr.write(`${invocation.refuse}\n`);
    process.stdout.write(USAGE);
    return invocation.status;
  }
  if ('say' in invocation) {
    process.stdout.write(
      invocation.say === 'help' ? USAGE : `knockd 0.8 (postern ${readVersion()})\nLicence Apache-2.0\n`,
    );
    return 0;
  }
  const options = withAbsolutePaths(invocation.run);
  if (options.daemon && !daemonChild) return startInBackground(argv);
  const { interface: face, strict } = options;
  const load = () => loadKnockdConf(options.config, { shownAs: invocation.run.config, interface: face, strict });
  const loaded = load();
  if (options.debug) for (const line of loaded.trace) process.stdout.write(`${line}\n`);
  for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
  if (!loaded.config) return 1;
  return runKnockd({ options, config: loaded.config, detached: daemonChild, reload: load });
}

/** A daemon leaves its directory: what is relative means the one it was started in. */
function withAbsolutePaths(options: KnockdOptions): KnockdOptions {
  const { config, pidFile, logFile, state, read } = options;
  return {
    ...options,
    config: absolute(config),
    pidFile: absolute(pidFile),
    logFile: absolute(logFile),
    state: absolute(state),
    read: absolute(read),
  };
}
