/**
 * `postern doctor`: everything that would bite, each with its remedy: the configuration, this host around it, the daemon and its cage, and
 * ways to lock oneself out. Looks and changes nothing; exit 0 when nothing is broken (warnings are not), 1 when something is.
 */

import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { type PosternConfig, tarpitPort } from '../config/postern-config.ts';
import type { WireStatus } from '../control/client.ts';
import { ControlError, connectControl } from '../control/client.ts';
import { parseAddress, sameAddress } from '../core/address.ts';
import { resolveFace } from '../firewall/drivers.ts';
import { preflight } from '../firewall/preflight.ts';
import { CAP_NET_ADMIN, CAP_NET_RAW, hasCapability } from '../platform/capabilities.ts';
import { defaultRouteInterfaces } from '../platform/default-route.ts';
import { addressesOf } from '../platform/interfaces.ts';
import { landlockAbi } from '../platform/landlock.ts';
import { readApplied, readPending } from '../store/pending-change.ts';
import { jsonOption } from './arguments.ts';
import { controlCommand } from './ask.ts';
import { DEFAULT_CONFIG } from './daemon-socket.ts';
import { absolute } from './load-knockd-conf.ts';
import { type LoadedToml, loadPosternToml } from './load-postern-toml.ts';
import { callersSession } from './ssh-session.ts';
import { type Format, paintFor, type Terminal } from './terminal.ts';
import { count, harmless } from './wording.ts';

/** One thing that was looked at. */
export interface Diagnosis {
  readonly check:
    | 'configuration'
    | 'secrets'
    | 'firewall'
    | 'interface'
    | 'kernel'
    | 'daemon'
    | 'cage'
    | 'clock'
    | 'way in';
  readonly status: 'ok' | 'warning' | 'broken';
  readonly message: string;
  readonly hint?: string;
}

interface Patient {
  readonly shown: string;
  readonly file: string;
  readonly loaded: LoadedToml;
  readonly status: WireStatus | ControlError;
  readonly terminal: Terminal;
}

type Check = Diagnosis['check'];

const FORMATS: Readonly<Record<Diagnosis['status'], Format>> = { ok: 'green', warning: 'yellow', broken: 'red' };
/** Further off than any clock that somebody has set right. */
const CLOCK_SLACK = 300_000;
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
  const status = config ? await askDaemon(config) : new ControlError('no-daemon', 'not asked');
  const patient: Patient = { shown, file, loaded, status, terminal };
  const found = [...configuration(patient), ...secrets(patient), ...kernel()];
  if (!config) return found;
  return [
    ...found,
    ...(await firewall(config)),
    ...interfaces(config, terminal),
    ...daemon(config, patient),
    ...cage(patient),
    ...clock(file, terminal),
    ...waysIn(config, shown),
  ];
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

function ok(check: Check, message: string): Diagnosis {
  return { check, status: 'ok', message };
}

function warning(check: Check, message: string, hint: string): Diagnosis {
  return { check, status: 'warning', message, hint };
}

function broken(check: Check, message: string, hint: string): Diagnosis {
  return { check, status: 'broken', message, hint };
}

async function askDaemon({ control }: PosternConfig): Promise<WireStatus | ControlError> {
  try {
    using client = await connectControl(control.socket);
    return await client.status();
  } catch (error) {
    if (error instanceof ControlError) return error;
    throw error;
  }
}

function* configuration({ shown, loaded }: Patient): Generator<Diagnosis> {
  const { config, problems, complaints } = loaded;
  for (const { severity, line, message, hint } of problems) {
    const place = line === 0 ? shown : `${shown}:${line}`;
    yield (severity === 'error' ? broken : warning)('configuration', `${place}: ${message}`, hint);
  }
  if (config && problems.length === 0)
    yield ok('configuration', `${shown}: ${count(config.doors.length, 'door')}, no doubts`);
  if (!config && problems.length === 0) yield broken('configuration', complaints.join(' '), 'Write one: postern init');
}

/** Who can read the steps can open the door; who can write them owns it. */
function* secrets({ shown, file, loaded: { config } }: Patient): Generator<Diagnosis> {
  const files = [[file, shown] as const, ...(config ? ([[config.state.dir, config.state.dir]] as const) : [])];
  for (const [path, name] of files) {
    const mode = modeOf(path);
    if (mode === undefined) continue;
    if (mode & 0o022) yield broken('secrets', `Others can change ${name}`, `chmod go-w ${name}`);
    else if (path === file && mode & 0o044)
      yield warning('secrets', `Others can read ${name}, and with it the knocks`, `chmod 600 ${name}`);
    else yield ok('secrets', `${name} is safe from others`);
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

/** Rules that bypass or outvote the guard. */
async function firewall(config: PosternConfig): Promise<readonly Diagnosis[]> {
  const { face, driver } = config.firewall;
  if (process.platform !== 'linux' || !hasCapability(CAP_NET_ADMIN)) return [];
  const resolved = await resolveFace(face);
  const found = await preflight(config.doors, resolved.face, driver, tarpitPort(config));
  const told = found.map(({ severity, message, hint }) =>
    (severity === 'error' ? broken : warning)('firewall', message, hint),
  );
  return told.length > 0 ? told : [ok('firewall', `${driver}: this host's own rules let in who has a grant`)];
}

function* interfaces({ capture }: PosternConfig, { environment }: Terminal): Generator<Diagnosis> {
  const outward = defaultRouteInterfaces();
  const chosen = capture.interfaces.length > 0 ? capture.interfaces : outward;
  const session = callersSession(environment);
  const server = session && parseAddress(session.server);
  const hint = `Write interfaces = [${[...new Set([...chosen, ...outward])].map((name) => `"${name}"`).join(', ')}] in [capture]`;
  if (chosen.includes('any')) return yield ok('interface', 'knocks are heard on every interface');
  if (server && !chosen.some((name) => addressesOf(name, true).some((address) => sameAddress(address, server)))) {
    yield warning(
      'interface',
      `This session came in at ${session.server}, which is on none of ${chosen.join(', ')}: knocks from there are not heard`,
      hint,
    );
  } else if (outward.length > 0 && !outward.some((name) => chosen.includes(name))) {
    yield warning(
      'interface',
      `Knocks are heard on ${chosen.join(', ')}, and the way out is ${outward.join(', ')}`,
      hint,
    );
  } else yield ok('interface', `knocks are heard on ${chosen.join(', ') || 'every interface'}`);
}

function* daemon(
  config: PosternConfig,
  { status, shown, loaded: { text }, terminal: { wallNow } }: Patient,
): Generator<Diagnosis> {
  if (status instanceof ControlError) {
    return yield broken('daemon', status.message, status.hint ?? `Start it: posternd --config ${shown}`);
  }
  yield ok('daemon', `posternd ${status.version} runs, ${count(status.doors.length, 'door')}`);
  for (const each of status.warnings) {
    const [message = '', ...hints] = each.split('\nhint: ');
    yield warning('daemon', message, hints[0] ?? 'See postern log');
  }
  const pending = readPending(config.state.dir);
  if (pending) {
    const left = Math.max(0, Math.ceil((pending.until - wallNow()) / 1000));
    yield warning('daemon', `A change is on trial for another ${left} s`, `postern --config ${shown} confirm`);
  }
  const applied = readApplied(config.state.dir);
  if (applied !== undefined && applied !== text) {
    yield warning('daemon', `${shown} has changed since it was put in force`, `postern --config ${shown} apply`);
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

function* cage({ status }: Patient): Generator<Diagnosis> {
  if (status instanceof ControlError) return;
  const { watcher, tarpit } = status;
  if (watcher.pid === undefined)
    yield broken('cage', 'The watcher does not run: nobody hears knocks', 'See postern log');
  else yield shutIn('watcher', watcher.confinement);
  if (tarpit === undefined) return;
  if (tarpit.pid === undefined)
    yield warning('cage', 'The tarpit does not run: banned sources wait for nothing', 'See postern log');
  else yield shutIn('tarpit', tarpit.confinement);
}

function shutIn(who: string, confinement: string): Diagnosis {
  const layers = ['landlock', 'seccomp'].filter((layer) => confinement.includes(`no ${layer}`));
  if (layers.length === 0) return ok('cage', `the ${who} is shut in: ${confinement}`);
  const message = `The ${who} is shut in without ${layers.join(' and ')} (${confinement})`;
  return warning('cage', message, 'Use a newer kernel');
}

function* clock(file: string, { wallNow }: Terminal): Generator<Diagnosis> {
  const written = timeOf(file);
  if (written === undefined) return;
  if (written > wallNow() + CLOCK_SLACK) {
    yield broken(
      'clock',
      `${file} is from ${new Date(written).toISOString()}: the clock is behind`,
      'Set the clock (timedatectl set-ntp true)',
    );
  } else yield ok('clock', 'goes forward');
}

/** With one way in, one mistake is enough. */
function* waysIn({ doors, allow }: PosternConfig, shown: string): Generator<Diagnosis> {
  const closed = doors.filter(({ knock }) => knock === undefined).map(({ name }) => name);
  if (closed.length > 0)
    yield warning(
      'way in',
      `Nobody can knock on ${closed.join(', ')}`,
      'Add steps, or open by hand: postern open DOOR SOURCE',
    );
  if (doors.length === 0) return;
  if (allow.length > 0) yield ok('way in', `trusted besides who knocks: ${count(allow.length, 'network')}`);
  else
    yield warning(
      'way in',
      'A knock is the only way in',
      `Trust an address of yours: allow = ["192.0.2.7"] at the top of ${shown}, or keep a console at hand`,
    );
}

function modeOf(path: string): number | undefined {
  try {
    return statSync(path).mode;
  } catch {
    return undefined;
  }
}

function timeOf(path: string): number | undefined {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return undefined;
  }
}
