/**
 * posternd: the native daemon in the foreground. `ready` on standard output and sd_notify when doors are closed and the first knock may
 * come; SIGHUP reloads, SIGTERM and SIGINT end it with status 0 and leave the doors as they are.
 */

import { setTimeout as pause } from 'node:timers/promises';
import type { PosternConfig } from '../config/postern-config.ts';
import { type ControlServer, serveControl } from '../control/server.ts';
import { SocketError } from '../control/socket-file.ts';
import { type FirewallDriver, FirewallError } from '../firewall/driver.ts';
import { openDriver, resolveFace } from '../firewall/drivers.ts';
import { listHost } from '../firewall/host-listing.ts';
import { startCaged } from '../keeper/caged-start.ts';
import { CaptureError } from '../keeper/capture-sockets.ts';
import { DaemonLog } from '../keeper/daemon-log.ts';
import { guardLock, lockAfterGuard } from '../keeper/guard-lock.ts';
import { reasonOf } from '../keeper/journal.ts';
import { limitStrangers } from '../keeper/log-limit.ts';
import { Trial } from '../keeper/trial.ts';
import { Warden } from '../keeper/warden.ts';
import { startWatchdog } from '../keeper/watchdog.ts';
import { Zygote, type ZygoteLine } from '../keeper/zygote.ts';
import { CAP_NET_ADMIN, hasCapability } from '../platform/capabilities.ts';
import { monotonicNow, uptimeNow, wallNow } from '../platform/clock.ts';
import { keepDescriptorsPrivate } from '../platform/descriptors.ts';
import { leadsToJournal, openJournald } from '../platform/journald.ts';
import { notify, notifyReloading, takeWatchdogTime } from '../platform/notify.ts';
import { openSyslog } from '../platform/syslog.ts';
import { after } from '../platform/timer.ts';
import type { Retention } from '../store/history-store.ts';
import { openState } from '../store/state.ts';
import { armRollback } from './arm-rollback.ts';
import { leaveSoon } from './farewell.ts';
import { hintForMissing } from './first-file.ts';
import { installGuard } from './guard-only.ts';
import { HostFindings } from './host-findings.ts';
import { type Settled, settleInterrupted } from './interrupted-trial.ts';
import { LiveConfig } from './live-config.ts';
import { absolute } from './load-knockd-conf.ts';
import { loadPosternToml } from './load-postern-toml.ts';
import { posterndProgram } from './posternd-command.ts';
import { reducePrivileges } from './posternd-privileges.ts';
import { readVersion } from './version.ts';

interface Given {
  readonly config: string;
  readonly strict: boolean;
  readonly verbose: boolean;
  readonly guardOnly: boolean;
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
  const lines = [...loaded.complaints, ...hintForMissing(loaded, given.config)];
  const complain = (): void => lines.forEach((line) => void process.stderr.write(`${line}\n`));
  if (!loaded.config) {
    complain();
    return 1;
  }
  const asked = { config: loaded.config, text: loaded.text ?? '', warnings: [] };
  const { config } = settleInterrupted(asked.config, asked.text, false) ?? asked;
  const privileges = await reducePrivileges(config, [absolute(given.config)], { confines: !given.guardOnly });
  try {
    if (given.guardOnly) {
      complain();
      process.stdout.write(`${await installGuard(config)}\n`);
      return 0;
    }
    // Not before: to give up privileges may have begun this program anew.
    const settled = settleInterrupted(asked.config, asked.text, true) ?? asked;
    const doubts = [...settled.warnings, ...privileges.warnings];
    return await run(given, { ...settled, warnings: doubts }, loaded.complaints, privileges.zygote);
  } catch (error) {
    if (!(error instanceof CaptureError) && !(error instanceof FirewallError)) throw error;
    process.stderr.write(`posternd: ${error instanceof CaptureError ? error.plain : error.message}\n`);
    return 1;
  }
}

async function run(
  given: Given,
  { config, text, warnings: doubts }: Settled,
  complaints: readonly string[],
  line: ZygoteLine | undefined,
): Promise<number> {
  keepDescriptorsPrivate();
  if (process.platform === 'linux' && !hasCapability(CAP_NET_ADMIN)) {
    process.stderr.write(
      'posternd: Cannot change the firewall: run it as root, or give it CAP_NET_ADMIN and CAP_NET_RAW\n',
    );
    return 1;
  }
  const journal = openLog(given, config);
  // A problem of the file is printed with its place first, in the log the word is.
  const warn = (text: string): void => journal.error(`warning: ${text.replace(/^([^\n]*?): warning: /, '$1: ')}`);
  const locked = await lockAll(config.state.dir, warn);
  if (typeof locked === 'string') {
    process.stderr.write(`posternd: ${locked}\n`);
    return 1;
  }
  const { state, warnings } = openState(config.state.dir, { wallNow, after, warn }, retentionOf(config));
  for (const text of [...complaints, ...doubts, ...warnings]) warn(text);

  const { promise: over, resolve: finish } = Promise.withResolvers<number>();
  const end = (reason: string): void => {
    journal.error(reason);
    finish(1);
  };
  const zygote = line && new Zygote(line, { after, over: end });
  const driver: FirewallDriver = openDriver(config.firewall.driver, { ...config.firewall, warn });
  const findings = new HostFindings({ made: () => warden.face, monotonicNow, after });
  const listing = listHost();
  const listed = (): typeof listing => listing;
  const firstFace = resolveFace(config.firewall.face, listed);
  const strangers = limitStrangers(journal, monotonicNow);
  const trial = new Trial({
    folder: config.state.dir,
    record: (event) => warden.record(event),
    latest: (types) => state.history.latest({ types }, 1)[0],
    wallNow,
    uptimeNow,
    takeBack: (token) => armRollback(config.state.dir, token, 0),
    after,
  });
  const live = new LiveConfig(
    { own: absolute(given.config), shown: given.config, strict: given.strict, keepsFew: zygote !== undefined },
    { trial, warn },
    { config, text, warnings: doubts },
  );
  const warden: Warden = new Warden(
    {
      driver,
      state,
      version: readVersion(),
      trial: () => trial.status(),
      warnings: async () => [...live.warnings, ...warnings, ...(await findings.lines())],
      say: strangers.event,
      whisper: strangers.stage,
      load: () => live.load(),
      loaded: (next) => {
        journal.configure(next.log);
        state.history.retain(retentionOf(next));
        live.loaded();
        void findings.lookUp(next, next.firewall.face);
      },
      face: (current) => (current === config ? firstFace : resolveFace(current.firewall.face)),
      startCaged: zygote?.start ?? startCaged,
      over: end,
    },
    config,
  );
  for (const { severity, message, hint } of await findings.lookUp(config, config.firewall.face, listed)) {
    journal.error(`${severity}: ${message}`);
    journal.error(`hint: ${hint}`);
  }
  const started = warden.start();
  process.on('SIGHUP', () => {
    const reload = async (): Promise<void> => {
      notifyReloading();
      const { warnings: doubts } = await warden.reload().finally(() => notify('READY=1'));
      doubts.forEach(warn);
    };
    started.then(reload).catch((error: unknown) => journal.error((error as Error).message));
  });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => finish(0));
  const failed = await Promise.race([started.then(() => undefined), over]);
  if (failed !== undefined) {
    await warden.stop();
    return leaveSoon(failed);
  }
  const control = await openControl(config.control.socket, warden, warn);
  for (const text of control?.warnings ?? []) warn(text);

  live.started();
  process.stdout.write('ready\n');
  notify('READY=1');
  const watchdogTime = takeWatchdogTime();
  const endWatchdog =
    watchdogTime === undefined
      ? () => {}
      : startWatchdog({
          time: watchdogTime,
          answered: () => warden.watcherAnsweredAt,
          ping: () => notify('WATCHDOG=1'),
          monotonicNow,
          after,
        });

  const status = await over;
  notify('STOPPING=1');
  endWatchdog();
  await control?.close();
  trial.release();
  await warden.stop();
  await zygote?.end();
  for (const release of locked) release();
  return leaveSoon(status);
}

/** Takes what one daemon at a time may have: the state, and the guard of this network namespace. The releases, or who has it already. */
async function lockAll(stateDir: string, warn: (text: string) => void): Promise<readonly (() => void)[] | string> {
  const releases: (() => void)[] = [];
  const wanted = [
    [`${stateDir}/state`, `the state in ${stateDir}`],
    [guardLock(), "the guard of this host's ports"],
  ] as const;
  for (const [file, what] of wanted) {
    if (file === undefined) continue;
    try {
      const locked = await lockAfterGuard(file, pause);
      if ('release' in locked) {
        releases.push(locked.release);
        continue;
      }
      const pid = locked.holder === undefined ? '' : ` (pid ${locked.holder.pid})`;
      return `another daemon has ${what}${pid}\nhint: To see it: postern status; to put a changed file in force: postern apply`;
    } catch (error) {
      // A disk that cannot be written keeps nobody out of his machine.
      warn(`Cannot lock ${file}: ${reasonOf(error)}: see that no other daemon runs`);
    }
  }
  return releases;
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

function openLog(given: Given, config: PosternConfig): DaemonLog {
  const ports = {
    stdout: (text: string) => void process.stdout.write(text),
    stderr: (text: string) => void process.stderr.write(text),
    stderrIsJournal: leadsToJournal(2),
    wallNow,
    openSyslog: () => openSyslog('posternd'),
    openJournald,
  };
  return new DaemonLog(ports, config.log, given.verbose);
}
