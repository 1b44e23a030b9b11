/**
 * posternd: the native daemon in the foreground. `ready` on standard output and sd_notify when doors are closed and the first knock may
 * come; SIGHUP reloads, SIGTERM and SIGINT end it with status 0 and leave the doors as they are.
 */

import { Command } from 'commander';
import type { PosternConfig } from '../config/postern-config.ts';
import { Refusal } from '../control/controlled.ts';
import { serveControl } from '../control/server.ts';
import type { FirewallDriver } from '../firewall/driver.ts';
import { openDriver, resolveFace } from '../firewall/drivers.ts';
import { preflight } from '../firewall/preflight.ts';
import { CaptureError } from '../keeper/capture-sockets.ts';
import { levelOf, matters, printEvent } from '../keeper/history-words.ts';
import { Journal } from '../keeper/journal.ts';
import { lockState } from '../keeper/state-lock.ts';
import { Warden } from '../keeper/warden.ts';
import { monotonicNow, wallNow } from '../platform/clock.ts';
import { keepDescriptorsPrivate } from '../platform/descriptors.ts';
import { notify } from '../platform/notify.ts';
import { openSyslog } from '../platform/syslog.ts';
import { after } from '../platform/timer.ts';
import { openState } from '../store/state.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { readVersion } from './version.ts';

const DEFAULT_CONFIG = '/etc/postern/postern.toml';

interface Given {
  readonly config: string;
  readonly strict: boolean;
  readonly verbose: boolean;
}

/** Runs the daemon; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // A reader that went away.
  const program = new Command('posternd')
    .description('Closes ports, and opens them to whoever knocks right; runs in the foreground')
    .version(readVersion())
    .option('-c, --config <file>', 'the configuration', DEFAULT_CONFIG)
    .option('--strict', 'refuse a configuration with warnings', false)
    .option('-v, --verbose', 'say on standard output what the log says', false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'posternd: ')) });
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    return (error as { exitCode?: number }).exitCode === 0 ? 0 : 2;
  }
  const given = program.opts<Given>();
  const loaded = loadPosternToml(absolute(given.config), { shownAs: given.config, strict: given.strict });
  for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
  if (!loaded.config) return 1;
  const inKernel = loaded.config.doors.find((door) => door.engine === 'kernel');
  if (inKernel) {
    process.stderr.write(
      `${given.config}:${inKernel.line}: Door "${inKernel.name}" asks for engine = "kernel", which this version does not have\n` +
        'hint: leave the key out, the daemon then recognizes the knock\n',
    );
    return 1;
  }
  try {
    return await run(given, loaded.config);
  } catch (error) {
    if (!(error instanceof CaptureError) && !(error instanceof Error && error.name === 'FirewallError')) throw error;
    process.stderr.write(`posternd: ${error.message}\n`);
    return 1;
  }
}

async function run(given: Given, config: PosternConfig): Promise<number> {
  keepDescriptorsPrivate();
  const journal = openJournal(given, config);
  const locked = lockState(`${config.state.dir}/state`, 'daemon');
  if (!('release' in locked)) {
    const pid = locked.holder === undefined ? '' : ` (pid ${locked.holder.pid})`;
    process.stderr.write(`posternd: another daemon has the state in ${config.state.dir}${pid}\n`);
    return 1;
  }
  const warn = (text: string): void => journal.error(`warning: ${text}`);
  const retention = { age: config.journal.keep, entries: 1_000_000, bytes: config.journal.size };
  const { state, warnings } = openState(config.state.dir, { wallNow, after, warn }, retention);
  for (const text of warnings) warn(text);

  const { promise: over, resolve: finish } = Promise.withResolvers<number>();
  const driver: FirewallDriver = openDriver(config.firewall.driver, { warn });
  let level = config.log.level;
  const warden: Warden = new Warden(
    {
      driver,
      state,
      version: readVersion(),
      warnings,
      say: (event) => {
        if (matters(levelOf(event), level)) journal.event(printEvent(event));
      },
      whisper: (text) => {
        if (matters('debug', level)) journal.event(text);
      },
      load: () => {
        const next = loadPosternToml(absolute(given.config), { shownAs: given.config, strict: given.strict });
        if (!next.config) throw new Refusal(next.complaints.join('\n'));
        level = next.config.log.level;
        journal.useSyslog(next.config.log.syslog);
        journal.openFile(next.config.log.file);
        return { config: next.config, warnings: next.complaints };
      },
      face: (current) => resolveFace(current.firewall.face),
      over: (reason) => {
        journal.error(reason);
        finish(1);
      },
    },
    config,
  );
  const { face } = await resolveFace(config.firewall.face);
  for (const { severity, message, hint } of await preflight(config.doors, face)) {
    journal.error(`${severity}: ${message}`);
    journal.error(`hint: ${hint}`);
  }
  await warden.start();
  const failed = (error: unknown): void => warn(`a control request failed: ${(error as Error).message}`);
  const control = await serveControl(config.control.socket, warden, { wallNow, monotonicNow, after, failed });
  for (const text of control.warnings) warn(text);

  process.on('SIGHUP', () => {
    warden.reload().then(
      ({ warnings: doubts }) => doubts.forEach(warn),
      (error: unknown) => journal.error((error as Error).message),
    );
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => finish(0));
  process.stdout.write('ready\n');
  notify('READY=1');

  const status = await over;
  await control.close();
  await warden.stop();
  locked.release();
  return status;
}

function openJournal(given: Given, config: PosternConfig): Journal {
  const journal = new Journal({
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    wallNow,
    openSyslog: () => openSyslog('posternd'),
  });
  journal.show({ verbose: given.verbose, debug: false });
  journal.useSyslog(config.log.syslog);
  journal.openFile(config.log.file);
  return journal;
}
