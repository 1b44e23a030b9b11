/**
 * posternd: the native daemon in the foreground. `ready` on standard output and sd_notify when doors are closed and the first knock may
 * come; SIGHUP reloads, SIGTERM and SIGINT end it with status 0 and leave the doors as they are.
 */

import { statSync } from 'node:fs';
import { Command } from 'commander';
import type { PosternConfig } from '../config/postern-config.ts';
import { Refusal } from '../control/controlled.ts';
import { type ControlServer, serveControl } from '../control/server.ts';
import { SocketError } from '../control/socket-file.ts';
import { type FirewallDriver, FirewallError } from '../firewall/driver.ts';
import { openDriver, resolveFace } from '../firewall/drivers.ts';
import { CaptureError } from '../keeper/capture-sockets.ts';
import { levelOf, matters, printEvent } from '../keeper/history-words.ts';
import { Journal, reasonOf } from '../keeper/journal.ts';
import { limitStrangers } from '../keeper/log-limit.ts';
import { lockState } from '../keeper/state-lock.ts';
import { Warden } from '../keeper/warden.ts';
import { CAP_NET_ADMIN, hasCapability } from '../platform/capabilities.ts';
import { monotonicNow, wallNow } from '../platform/clock.ts';
import { keepDescriptorsPrivate } from '../platform/descriptors.ts';
import { notify } from '../platform/notify.ts';
import { openSyslog } from '../platform/syslog.ts';
import { after } from '../platform/timer.ts';
import type { Retention } from '../store/history-store.ts';
import { openState } from '../store/state.ts';
import { DEFAULT_CONFIG } from './daemon-socket.ts';
import { HostFindings } from './host-findings.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { readVersion } from './version.ts';

interface Given {
  readonly config: string;
  readonly strict: boolean;
  readonly verbose: boolean;
}

/** The command line, also for the manual. */
export function posterndProgram(): Command {
  return new Command('posternd')
    .description('Closes ports, and opens them to whoever knocks right; runs in the foreground')
    .version(readVersion())
    .option('-c, --config <file>', 'the configuration', DEFAULT_CONFIG)
    .option('--strict', 'refuse a configuration with warnings', false)
    .option('-v, --verbose', 'say on standard output what the log says', false)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'posternd: ')) });
}

/** Runs the daemon; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {}); // A reader that went away.
  const program = posterndProgram();
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    return (error as { exitCode?: number }).exitCode === 0 ? 0 : 2;
  }
  const given = program.opts<Given>();
  const loaded = loadPosternToml(absolute(given.config), {
    shownAs: given.config,
    strict: given.strict,
    starting: true,
  });
  for (const line of loaded.complaints) process.stderr.write(`${line}\n`);
  if (!loaded.config) return 1;
  try {
    return await run(given, loaded.config);
  } catch (error) {
    if (!(error instanceof CaptureError) && !(error instanceof FirewallError)) throw error;
    process.stderr.write(`posternd: ${error instanceof CaptureError ? error.plain : error.message}\n`);
    return 1;
  }
}

async function run(given: Given, config: PosternConfig): Promise<number> {
  keepDescriptorsPrivate();
  if (process.platform === 'linux' && !hasCapability(CAP_NET_ADMIN)) {
    process.stderr.write(
      'posternd: Cannot change the firewall: run it as root, or give it CAP_NET_ADMIN and CAP_NET_RAW\n',
    );
    return 1;
  }
  const journal = openJournal(given, config);
  const warn = (text: string): void => journal.error(`warning: ${text}`);
  const locked = lockAll(config.state.dir, warn);
  if (typeof locked === 'string') {
    process.stderr.write(`posternd: ${locked}\n`);
    return 1;
  }
  const { state, warnings } = openState(config.state.dir, { wallNow, after, warn }, retentionOf(config));
  for (const text of warnings) warn(text);

  const { promise: over, resolve: finish } = Promise.withResolvers<number>();
  const driver: FirewallDriver = openDriver(config.firewall.driver, { warn });
  const findings = new HostFindings(monotonicNow);
  const firstFace = resolveFace(config.firewall.face);
  let level = config.log.level;
  const warden: Warden = new Warden(
    {
      driver,
      state,
      version: readVersion(),
      warnings: () => [...warnings, ...findings.lines()],
      say: limitStrangers((event) => {
        if (matters(levelOf(event), level)) journal.event(printEvent(event));
      }, monotonicNow),
      whisper: (text) => {
        if (matters('debug', level)) journal.event(text);
      },
      load: () => {
        const next = loadPosternToml(absolute(given.config), { shownAs: given.config, strict: given.strict });
        if (!next.config) throw new Refusal([...next.complaints, 'The configuration is unchanged'].join('\n'));
        return { config: next.config, warnings: next.complaints };
      },
      loaded: (next) => {
        level = next.log.level;
        journal.useSyslog(next.log.syslog);
        journal.openFile(next.log.file);
        state.history.retain(retentionOf(next));
        void resolveFace(next.firewall.face).then(({ face }) => findings.lookUp(next, face));
      },
      face: (current) => (current === config ? firstFace : resolveFace(current.firewall.face)),
      over: (reason) => {
        journal.error(reason);
        finish(1);
      },
    },
    config,
  );
  for (const { severity, message, hint } of await findings.lookUp(config, (await firstFace).face)) {
    journal.error(`${severity}: ${message}`);
    journal.error(`hint: ${hint}`);
  }
  const started = warden.start();
  process.on('SIGHUP', () => {
    started
      .then(() => warden.reload())
      .then(
        ({ warnings: doubts }) => doubts.forEach(warn),
        (error: unknown) => journal.error((error as Error).message),
      );
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => finish(0));
  const failed = await Promise.race([started.then(() => undefined), over]);
  if (failed !== undefined) {
    await warden.stop();
    return failed;
  }
  const control = await openControl(config.control.socket, warden, warn);
  for (const text of control?.warnings ?? []) warn(text);

  process.stdout.write('ready\n');
  notify('READY=1');

  const status = await over;
  await control?.close();
  await warden.stop();
  for (const release of locked) release();
  return status;
}

/** Takes what one daemon at a time may have: the state, and the guard of this network namespace. The releases, or who has it already. */
function lockAll(stateDir: string, warn: (text: string) => void): readonly (() => void)[] | string {
  const releases: (() => void)[] = [];
  const wanted = [
    [`${stateDir}/state`, `the state in ${stateDir}`],
    [guardLock(), "the guard of this host's ports"],
  ] as const;
  for (const [file, what] of wanted) {
    if (file === undefined) continue;
    try {
      const locked = lockState(file, 'daemon');
      if ('release' in locked) {
        releases.push(locked.release);
        continue;
      }
      const pid = locked.holder === undefined ? '' : ` (pid ${locked.holder.pid})`;
      return `another daemon has ${what}${pid}`;
    } catch (error) {
      // A disk that cannot be written keeps nobody out of his machine.
      warn(`Cannot lock ${file}: ${reasonOf(error)}: see that no other daemon runs`);
    }
  }
  return releases;
}

/** One file for each network namespace; nothing where the system has none. */
function guardLock(): string | undefined {
  try {
    return `/run/posternd-net-${statSync('/proc/self/ns/net').ino}`;
  } catch {
    return undefined;
  }
}

/** The control socket; without it doors work all the same, so a disk that cannot be written is no reason to end. */
async function openControl(
  path: string,
  warden: Warden,
  warn: (text: string) => void,
): Promise<ControlServer | undefined> {
  const failed = (error: unknown): void => warn(`a control request failed: ${(error as Error).message}`);
  try {
    return await serveControl(path, warden, { wallNow, monotonicNow, after, failed });
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    warn(`${error.message}: doors work, but nobody can ask for anything`);
    return undefined;
  }
}

function retentionOf({ journal }: PosternConfig): Retention {
  return { age: journal.keep, entries: 1_000_000, bytes: journal.size };
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
