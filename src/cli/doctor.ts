/**
 * `postern doctor`: everything that would bite, each with its remedy: the configuration, this host around it, the daemon and its cage, and
 * ways to lock oneself out. Looks and changes nothing; exit 0 when nothing is broken (warnings are not), 1 when something is.
 */

import { closeSync, existsSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import type { PosternConfig } from '../config/postern-config.ts';
import { parsePosternToml } from '../config/postern-toml.ts';
import type { WireStatus } from '../control/client.ts';
import { ControlError, connectControl } from '../control/client.ts';
import { CAP_NET_ADMIN, CAP_NET_RAW, hasCapability } from '../platform/capabilities.ts';
import { isClockSynchronized, kernelBuilt } from '../platform/kernel-clock.ts';
import { landlockAbi } from '../platform/landlock.ts';
import { readApplied, readPending } from '../store/pending-change.ts';
import { jsonOption } from './arguments.ts';
import { controlCommand, withOrigin } from './ask.ts';
import { judgeCage } from './cage-diagnosis.ts';
import { judgeClock, type PastEvent, writtenAt } from './clock-diagnosis.ts';
import { DEFAULT_CONFIG, posternCommand, socketOf, usualConfig } from './daemon-socket.ts';
import { broken, type Diagnosis, ok, warning } from './diagnosis.ts';
import { judgeFirewall } from './firewall-diagnosis.ts';
import { firstFile } from './first-file.ts';
import { absolute } from './load-knockd-conf.ts';
import { type LoadedToml, loadPosternToml } from './load-postern-toml.ts';
import { judgeConfigFile, judgeStateFolder } from './secrets-diagnosis.ts';
import { rejectedFile } from './take-back.ts';
import { type Format, paintFor, type Terminal } from './terminal.ts';
import { judgeInterfaces, judgeWaysIn } from './ways-in.ts';
import { count, harmless } from './wording.ts';

interface Patient {
  readonly shown: string;
  readonly file: string;
  readonly loaded: LoadedToml;
  readonly status: WireStatus | ControlError;
  /** The newest event that the daemon remembers. */
  readonly newest: readonly PastEvent[];
  /** As far as it is known. */
  readonly stateDir: string | undefined;
  readonly terminal: Terminal;
}

const FORMATS: Readonly<Record<Diagnosis['status'], Format>> = { ok: 'green', warning: 'yellow', broken: 'red' };
/** Landlock can forbid TCP connections from this version on. */
const LANDLOCK_NETWORK = 4;

export function addDoctor(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'doctor')
    .description('look for everything that would bite, and name the remedies')
    .addOption(jsonOption())
    .action(async (options: { json?: true }, command: Command) => {
      const { stdout, environment } = terminal;
      const found = await diagnose(command, terminal);
      const lines = options.json ? [JSON.stringify(found)] : describeDiagnoses(found, paintFor(stdout, environment));
      stdout.write(`${lines.join('\n')}\n`);
      end(found.some(({ status }) => status === 'broken') ? 1 : 0);
    });
}

async function diagnose(command: Command, terminal: Terminal): Promise<readonly Diagnosis[]> {
  const { config: shown = DEFAULT_CONFIG } = command.optsWithGlobals<{ config?: string }>();
  const file = absolute(shown);
  const loaded = loadPosternToml(file, { shownAs: shown, strict: false });
  const { config } = loaded;
  const socket = config?.control.socket ?? socketFor(command);
  const answer = typeof socket === 'string' ? await askDaemon(socket) : socket;
  const isNobody = answer instanceof ControlError && answer.problem === 'no-daemon';
  const status = isNobody ? withOrigin(answer, command) : answer instanceof ControlError ? answer : answer.status;
  const newest = answer instanceof ControlError ? [] : answer.newest;
  const stateDir = config?.state.dir ?? (typeof socket === 'string' ? dirname(socket) : undefined);
  const patient: Patient = { shown, file, loaded, status, newest, stateDir, terminal };
  const applied = readInForce(stateDir);
  const inForce = config ?? applied;
  // A trial may be over before the firewall's programs have answered.
  const ofDaemon = [...daemon(patient)];
  return [
    ...configuration(patient),
    ...(config ? [] : goesOn(inForce, shown)),
    ...judgeConfigFile(file, shown),
    ...(stateDir === undefined ? [] : judgeStateFolder(stateDir)),
    ...kernel(),
    ...(await firewall(inForce, applied ?? inForce, patient)),
    // Without a daemon no knock is heard, wherever.
    ...(inForce ? [...judgeInterfaces(inForce, terminal)] : []).filter((each) => !isNobody || each.status !== 'ok'),
    ...ofDaemon,
    ...(status instanceof ControlError ? [] : judgeCage(status, applied ?? config)),
    ...clock(patient),
    ...(inForce ? judgeWaysIn(inForce, shown) : []),
  ];
}

/** For what a broken file does not say: other firewalls are judged by the port that nobody wants to lose. */
const ANY_SSH = '[door.ssh]\nprotect = ["tcp/22"]\n';

function parsed(text: string | undefined): PosternConfig | undefined {
  if (text === undefined) return undefined;
  const result = parsePosternToml(text, { file: DEFAULT_CONFIG, directory: dirname(DEFAULT_CONFIG) });
  return result.ok ? result.config : undefined;
}

function readInForce(stateDir: string | undefined): PosternConfig | undefined {
  return stateDir === undefined ? undefined : parsed(readApplied(stateDir));
}

/** What is looked at although the file cannot be read. */
function* goesOn(inForce: PosternConfig | undefined, shown: string): Generator<Diagnosis> {
  const what = inForce
    ? 'the rest of this is about the configuration in force'
    : 'doors, interfaces and ways in are not looked at; the firewall is, for tcp/22';
  yield warning('configuration', `Without a configuration that can be read, ${what}`, `postern check ${shown}`);
}

function socketFor(command: Command): string | ControlError {
  try {
    return socketOf(command);
  } catch (error) {
    if (error instanceof ControlError) return error;
    throw error;
  }
}

/** Lines for people. */
export function describeDiagnoses(
  found: readonly Diagnosis[],
  paint: (format: Format, text: string) => string,
): readonly string[] {
  const width = Math.max(...found.map(({ check }) => check.length));
  return found.flatMap(({ check, status, message, hint }) => {
    const mark = paint(FORMATS[status], status.padEnd('warning'.length));
    const lines = harmless(message.replaceAll('\n', ' '));
    return [
      `${mark}  ${check.padEnd(width)}  ${lines}`,
      ...(hint === undefined ? [] : [`${' '.repeat('warning'.length + width + 4)}hint: ${harmless(hint)}`]),
    ];
  });
}

async function askDaemon(
  socket: string,
): Promise<{ readonly status: WireStatus; readonly newest: readonly PastEvent[] } | ControlError> {
  try {
    using client = await connectControl(socket);
    const [status, entries] = [await client.status(), await client.log({ limit: 1 })];
    return { status, newest: entries.map(({ time }) => ({ what: 'The newest event', time: Date.parse(time) })) };
  } catch (error) {
    if (error instanceof ControlError) return error;
    throw error;
  }
}

function* configuration({ shown, file, loaded }: Patient): Generator<Diagnosis> {
  const { config, problems, complaints } = loaded;
  for (const { severity, line, message, hint } of problems) {
    const place = line === 0 ? shown : `${shown}:${line}`;
    yield (severity === 'error' ? broken : warning)('configuration', `${place}: ${message}`, hint);
  }
  if (config && problems.length === 0)
    yield ok('configuration', `${shown}: ${count(config.doors.length, 'door')}, no doubts`);
  if (config || problems.length > 0) return;
  if (process.geteuid?.() !== 0 && isForbidden(file)) {
    const words = posternCommand(shown, 'doctor');
    return yield broken('configuration', complaints.join(' '), `It is for root to read: sudo ${words}`);
  }
  const why = complaints.join(' ');
  // "postern check" without a file looks there.
  const instead = shown === DEFAULT_CONFIG && usualConfig() !== shown ? usualConfig() : undefined;
  if (instead === undefined || existsSync(rejectedFile(file))) yield broken('configuration', why, firstFile(shown));
  else
    yield broken(
      'configuration',
      `${why}; there is ${instead}, which is for knockd`,
      `Make one of it: postern import ${instead} > ${shown}; or write a new one: postern init`,
    );
}

/** Is it there, or may it be, for those who may look? */
function isForbidden(file: string): boolean {
  try {
    closeSync(openSync(file, 'r'));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES';
  }
}

function* kernel(): Generator<Diagnosis> {
  if (process.platform !== 'linux') return;
  const lacking = [
    ...(hasCapability(CAP_NET_ADMIN) ? [] : ['CAP_NET_ADMIN']),
    ...(hasCapability(CAP_NET_RAW) ? [] : ['CAP_NET_RAW']),
  ];
  if (lacking.length > 0)
    yield warning(
      'kernel',
      `This user lacks ${lacking.join(' and ')}: not everything can be looked at`,
      'Run it as root',
    );
  else yield ok('kernel', 'the firewall and packets are within reach');
  const abi = landlockAbi();
  if (abi === undefined)
    yield warning(
      'kernel',
      'This kernel has no Landlock: the watcher could read files',
      'Use Linux 5.13 or newer, with lsm=landlock',
    );
  else if (abi < LANDLOCK_NETWORK)
    yield warning(
      'kernel',
      `Landlock ABI ${abi} cannot forbid connections: seccomp alone does`,
      'Use Linux 6.7 or newer',
    );
  else yield ok('kernel', `Landlock ABI ${abi}`);
}

function* daemon({
  status,
  shown,
  stateDir,
  loaded: { config, text },
  terminal: { wallNow },
}: Patient): Generator<Diagnosis> {
  if (status instanceof ControlError) {
    return yield broken('daemon', status.message, status.hint ?? `Start it: posternd --config ${shown}`);
  }
  yield ok('daemon', `posternd ${status.version} runs, ${count(status.doors.length, 'door')}`);
  for (const each of status.warnings) {
    const [message = '', ...hints] = each.split('\nhint: ');
    yield warning('daemon', message, hints[0] ?? 'See postern log');
  }
  const pending = stateDir === undefined ? undefined : readPending(stateDir);
  if (pending) {
    const left = Math.max(0, Math.ceil((pending.until - wallNow()) / 1000));
    yield warning('daemon', `A change is on trial for another ${left} s`, posternCommand(shown, 'confirm'));
  }
  const applied = config && readApplied(config.state.dir);
  if (applied !== undefined && applied !== text) {
    yield warning('daemon', `${shown} has changed since it was put in force`, posternCommand(shown, 'apply'));
  }
  if (status.mode === 'observe')
    yield warning('daemon', 'It only observes: nothing is closed', 'Leave mode = "observe" out, and postern reload');
  if (status.watcher.lost > 0)
    yield warning(
      'daemon',
      `${status.watcher.lost} packets came too fast to be looked at`,
      'Knocks may have been among them; see postern attackers',
    );
}

/** Rules that bypass or outvote the guard, and the guard itself. */
async function firewall(
  config: PosternConfig | undefined,
  inForce: PosternConfig | undefined,
  { status, shown }: Patient,
): Promise<readonly Diagnosis[]> {
  const judged = config ?? parsed(ANY_SSH);
  const isThere = !(status instanceof ControlError);
  const remedy = isThere ? posternCommand(shown, 'reload') : `Start the daemon: posternd --config ${shown}`;
  return judged ? judgeFirewall({ config: judged, inForce, remedy }) : [];
}

function clock({ file, stateDir, newest, terminal }: Patient): Iterable<Diagnosis> {
  const built = kernelBuilt();
  const past = [
    ...writtenAt(file, stateDir),
    ...newest,
    ...(built === undefined ? [] : [{ what: 'The kernel', time: built }]),
  ];
  return judgeClock({ now: terminal.wallNow(), past, synchronized: isClockSynchronized() });
}
