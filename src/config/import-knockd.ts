/**
 * A knockd.conf as a postern.toml (`postern import`). Commands that let the address through a firewall become doors that the
 * kernel closes; a pair of doors that opens and closes becomes one; any other command becomes a hook of its door. Whatever
 * is different afterwards, or could not be carried over, is named with its line. The result is always a file that
 * `parsePosternToml` takes.
 */

import { printAddress } from '../core/address.ts';
import { ACK, FIN, RST, type Step, SYN, type TcpFlags } from '../core/door.ts';
import { type PortRange, RESERVED_NAMES } from '../core/policy.ts';
import { type FirewallCommand, readFirewallCommand, readSetCommand, samePorts } from './knockd-command.ts';
import type { KnockdConfig } from './knockd-conf.ts';
import type { KnockdDoor } from './knockd-lower.ts';
import { NOWHERE } from './knockd-target.ts';
import { FLAG_BITS } from './knockd-values.ts';
import { printPorts, printStep } from './ports.ts';
import { parsePosternToml } from './postern-toml.ts';
import { escaped, quote } from './problem.ts';
import { printDuration } from './quantity.ts';
import { printToml } from './reading.ts';
import { familyHook } from './shell-hook.ts';

export interface ImportOptions {
  /** The file that the configuration came from, for notes and comments. */
  readonly file: string;
}

export interface Imported {
  /** The text of a postern.toml. */
  readonly toml: string;
  /** `file:line: what` for everything that is different or missing, in the order of the lines. */
  readonly notes: readonly string[];
}

/** What a door is open for that had no stop command. */
const WITHOUT_STOP = 3_600_000;
const [LEAST, MOST] = [100, 365 * 86_400_000];
const LONGEST_WINDOW = 3_600_000;

interface Note {
  readonly line: number;
  readonly text: string;
}

/** Turns a configuration that knockd would take into a native one. */
export function importKnockdConf(config: KnockdConfig, options: ImportOptions): Imported {
  const notes: Note[] = [];
  const note = (line: number, text: string): void => void notes.push({ line, text });
  const plans = config.doors.map((door) => ({ door, start: readFirewallCommand(door.startCommand ?? '') }));
  const closers = new Set<KnockdDoor>();
  const names = new Set<string>();
  const sections: string[] = [];
  for (const { door, start } of plans) {
    if (closers.has(door) || (start?.action === 'close' && hasOpener(plans, start))) continue;
    const unusable = reasonAgainst(door, start);
    if (unusable !== undefined) {
      note(door.line, `The door ${quote(door.knock.name)} is not carried over: ${unusable}`);
      continue;
    }
    const closer = start?.action === 'open' && !door.stopCommand ? findCloser(plans, start, closers) : undefined;
    if (closer) closers.add(closer);
    const name = nameFor(door, closer, names, note);
    sections.push(printDoor({ door, start, closer, name, file: options.file, note }));
  }
  for (const { door, start } of plans) {
    if (start?.action !== 'close' || closers.has(door) || !hasOpener(plans, start)) continue;
    note(door.line, `The door ${quote(door.knock.name)} is not carried over: the door it closes closes by itself`);
  }
  if (plans.some(({ door, start }) => start?.action === 'open' && reasonAgainst(door, start) === undefined)) {
    note(0, 'These doors close their ports themselves: a firewall that closes them too has to let them through');
  }
  const head = printSettings(config, options, note);
  return {
    toml: [head, ...sections].join('\n'),
    notes: notes
      .toSorted((x, y) => x.line - y.line)
      .map(({ line, text }) => `${options.file}${line === 0 ? '' : `:${line}`}: ${text}`),
  };
}

interface Plan {
  readonly door: KnockdDoor;
  readonly start: FirewallCommand | undefined;
}

function hasOpener(plans: readonly Plan[], { ports }: FirewallCommand): boolean {
  return plans.some(({ start }) => start?.action === 'open' && samePorts(start.ports, ports));
}

/** The door that undoes what another does: the same ports, closed, by a knock of its own. */
function findCloser(
  plans: readonly Plan[],
  { ports }: FirewallCommand,
  taken: ReadonlySet<KnockdDoor>,
): KnockdDoor | undefined {
  return plans.find(({ door, start }) => start?.action === 'close' && samePorts(start.ports, ports) && !taken.has(door))
    ?.door;
}

/** Why a door can't be had here; undefined when it can. */
function reasonAgainst(door: KnockdDoor, start: FirewallCommand | undefined): string | undefined {
  const { knock } = door;
  if (door.oneTime) return `its one-time sequences in ${quote(door.oneTime.path)} have no counterpart`;
  if (knock.steps.some(({ port }) => port === 0)) return 'a step goes to port 0, which cannot be knocked';
  if (knock.target === NOWHERE) return 'its target matches no packet, so it never opened';
  if (knock.window === 0 && knock.steps.length > 1) return 'its Seq_Timeout is 0, so it never opened';
  if (start?.action === 'close') return 'its command closes a port that no other door opens';
  if (!door.startCommand) return 'it has no start command';
  return undefined;
}

const UNFIT: ReadonlySet<string> = new Set(['constructor', 'prototype', ...RESERVED_NAMES]);

/** A name that fits, of its own; a pair of `openX` and `closeX` is `x`. */
function nameFor(
  door: KnockdDoor,
  closer: KnockdDoor | undefined,
  taken: Set<string>,
  note: (line: number, text: string) => void,
): string {
  const { name } = door.knock;
  const stem = closer && /^open[-_ ]?(.+)$/i.exec(name)?.[1];
  const plain = (stem?.toLowerCase() ?? name).replaceAll(/[^A-Za-z0-9_-]+/g, '-').replace(/^[^A-Za-z]+/, '');
  const base = (plain === '' || UNFIT.has(plain) ? 'door' : plain).slice(0, 32);
  let own = base;
  for (let count = 2; taken.has(own); count++) own = `${base.slice(0, 32 - String(count).length - 1)}-${count}`;
  taken.add(own);
  if (own !== name) note(door.line, `The door ${quote(name)} is called "${own}"`);
  return own;
}

interface DoorPrint {
  readonly door: KnockdDoor;
  readonly start: FirewallCommand | undefined;
  readonly closer: KnockdDoor | undefined;
  readonly name: string;
  readonly file: string;
  readonly note: (line: number, text: string) => void;
}

function printDoor(plan: DoorPrint): string {
  const { door, closer, name, file } = plan;
  const places = [door, ...(closer ? [closer] : [])].map((of) => `${file}:${of.line} [${of.knock.name}]`);
  const keys = plan.start ? nativeKeys(plan, plan.start) : hookKeys(plan);
  const families = familyKeys(plan);
  const lines = Object.entries({ ...keys, ...families }).map(([key, value]) => `${key} = ${printToml(value)}`);
  const knock = Object.entries(knockKeys(plan)).map(([key, value]) => `${key} = ${printToml(value)}`);
  return [
    `# ${escaped(places.join(' and ')).toWellFormed()}`,
    `[door.${name}]`,
    ...lines,
    '',
    `[door.${name}.knock]`,
    ...knock,
    '',
  ].join('\n');
}

type Keys = Readonly<Record<string, unknown>>;

/** A door that the kernel closes. */
function nativeKeys({ door, closer, name, note }: DoorPrint, start: FirewallCommand): Keys {
  const shownName = `The door "${name}"`;
  for (const narrowed of start.narrowed)
    note(door.line, `${shownName} closes its ports altogether: ${quote(narrowed)} of the command is not carried over`);
  if (start.bothProtocols) {
    const why = 'the command names no protocol, which ufw takes for both';
    note(door.line, `${shownName} closes its ports for tcp and udp: ${why}; take what you do not mean out of protect`);
  }
  const keys: Record<string, unknown> = { protect: start.ports.map((range: PortRange) => printPorts(range)) };
  if (closer) {
    const knock = closer.knock.steps.map(printStep).join(' ');
    keys.open_for = printDuration(WITHOUT_STOP);
    note(
      closer.line,
      `The door ${quote(closer.knock.name)} and its knock (${knock}) are not carried over: ${shownName.toLowerCase()} closes by itself after ${printDuration(WITHOUT_STOP)}, or with "postern close ${name}"`,
    );
  } else if (!door.stopCommand) {
    keys.open_for = printDuration(WITHOUT_STOP);
    note(door.line, `${shownName} closes by itself after ${printDuration(WITHOUT_STOP)}: nothing closed it before`);
  } else {
    keys.open_for = openFor(door, name, note);
  }
  return { ...keys, ...hooksBeside(door, start, name, note) };
}

/** Hooks of a door that the kernel closes: for commands that do something else than opening and closing its ports. */
function hooksBeside(door: KnockdDoor, { ports }: FirewallCommand, name: string, note: DoorPrint['note']): Keys {
  const keys: Record<string, unknown> = {};
  const { startCommand6, stopCommand6 } = commandsFor6(door);
  const start6 = startCommand6 === undefined ? undefined : readFirewallCommand(startCommand6);
  if (start6 && !(start6.action === 'open' && samePorts(start6.ports, ports))) {
    const message = `The door "${name}" opens the same ports over IPv6 as over IPv4`;
    note(door.line, `${message}: ${quote(startCommand6 ?? '')} is not carried over`);
  } else if (startCommand6 !== undefined && !start6) {
    keys.on_open = familyHook('', startCommand6);
    const message = `The command for IPv6 of the door "${name}" is run as a hook, and the ports of the one for IPv4 are opened`;
    note(door.line, `${message}: it is none that is understood`);
  }
  const rest = (command: string): string => {
    const stop = readFirewallCommand(command);
    return stop?.action === 'close' && samePorts(stop.ports, ports) ? '' : command;
  };
  const [rest4, rest6] = [rest(door.stopCommand ?? ''), rest(stopCommand6 ?? door.stopCommand ?? '')];
  if (rest4 === '' && rest6 === '') return keys;
  keys.on_close = familyHook(rest4, rest6);
  const which = rest4 === '' ? 'stop command for IPv6' : 'stop command';
  note(
    door.line,
    `The ${which} of the door "${name}" is run as a hook when a grant ends: it is none that is understood`,
  );
  return keys;
}

/** An empty start command keeps IPv6 out: nothing else is run for it. */
function commandsFor6({ startCommand6, stopCommand6 }: KnockdDoor): Pick<KnockdDoor, 'startCommand6' | 'stopCommand6'> {
  if (startCommand6 === '') return {};
  return {
    ...(startCommand6 !== undefined && { startCommand6 }),
    ...(stopCommand6 !== undefined && { stopCommand6 }),
  };
}

/** A door of which nothing is known but its commands. */
function hookKeys({ door, name, note }: DoorPrint): Keys {
  const command = door.startCommand ?? '';
  const { startCommand6: start6 = command, stopCommand6: stop6 = door.stopCommand ?? '' } = commandsFor6(door);
  const set = readSetCommand(command);
  const keys: Record<string, unknown> = {};
  const timeout = set?.timeout === undefined ? undefined : set.timeout * 1000;
  if (timeout !== undefined && !door.stopCommand) keys.open_for = printDuration(clamp(timeout));
  else if (door.stopCommand || stop6) keys.open_for = openFor(door, name, note);
  keys.on_open = familyHook(command, start6);
  if (door.stopCommand || stop6) keys.on_close = familyHook(door.stopCommand ?? '', stop6);
  const why = set
    ? `the port behind the set ${quote(set.set)} is not in the file; write protect in place of the hooks to have it closed here`
    : 'it is none that is understood; write protect in place of the hooks if it opens a port';
  note(door.line, `The command of the door "${name}" is run as a hook: ${why}`);
  return keys;
}

/** What only one of the families has. */
function familyKeys({ door, name, note }: DoorPrint): Keys {
  if (door.startCommand6 !== '') return {};
  note(door.line, `The door "${name}" is for IPv4 sources alone, because its command for IPv6 is empty`);
  return { sources: { allow: ['0.0.0.0/0'] } };
}

function knockKeys({ door, name, note }: DoorPrint): Keys {
  const { steps, window, target } = door.knock;
  const keys: Record<string, unknown> = { steps: steps.map((step: Step) => printStep(step)) };
  if (window > 0) keys.within = printDuration(Math.min(window, LONGEST_WINDOW));
  if (window > LONGEST_WINDOW)
    note(
      door.line,
      `The knock of the door "${name}" has to come within ${printDuration(LONGEST_WINDOW)}, the longest there is`,
    );
  const flags = flagsFor(door.knock.tcpFlags);
  if (flags) keys.flags = flags;
  else if ((door.knock.tcpFlags.set & SYN) === 0 && steps.some(({ protocol }) => protocol === 'tcp')) {
    note(door.line, `Only packets that open a connection count for the door "${name}", not any TCP packet`);
  }
  if (target) keys.target = printAddress(target);
  return keys;
}

/** Absent for what an ordinary client sends: those are the flags that count by default. */
function flagsFor({ set, clear }: TcpFlags): readonly string[] | undefined {
  if ((set === 0 && clear === 0) || (set === SYN && (clear & ~(ACK | RST | FIN)) === 0)) return undefined;
  const flags: string[] = [];
  for (const [name, bit] of FLAG_BITS) {
    if (set & bit) flags.push(name.toLowerCase());
    else if (clear & bit) flags.push(`!${name.toLowerCase()}`);
  }
  return flags;
}

function openFor(door: KnockdDoor, name: string, note: (line: number, text: string) => void): string {
  const own = clamp(door.cmdTimeout);
  if (own !== door.cmdTimeout)
    note(door.line, `The door "${name}" is open for ${printDuration(own)} in place of its Cmd_Timeout`);
  return printDuration(own);
}

function clamp(milliseconds: number): number {
  return Math.min(MOST, Math.max(LEAST, milliseconds));
}

function printSettings(
  config: KnockdConfig,
  { file }: ImportOptions,
  note: (line: number, text: string) => void,
): string {
  const { logFile, pidFile, interface: name } = config;
  const log: Record<string, unknown> = { syslog: config.useSyslog };
  if (logFile) log.file = logFile.replaceAll('\0', '');
  const lines = [`# From ${escaped(file).toWellFormed()}, by "postern import".`, ''];
  if (pidFile) note(0, `The pid file ${quote(pidFile)} is not carried over: the service manager knows the process`);
  const capture = name === undefined ? undefined : `interfaces = ${printToml([name])}`;
  if (capture !== undefined) {
    if (accepts(`[capture]\n${capture}\n`)) lines.push('[capture]', capture, '');
    else note(0, `The interface ${quote(name ?? '')} is not carried over: it is no name of one`);
  }
  lines.push('[log]');
  for (const [key, value] of Object.entries(log)) {
    const line = `${key} = ${printToml(value)}`;
    if (accepts(`[log]\n${line}\n`)) lines.push(line);
    else note(0, `The log file ${quote(logFile ?? '')} is not carried over: it is no path here`);
  }
  return `${lines.join('\n')}\n`;
}

function accepts(toml: string): boolean {
  return parsePosternToml(toml, { file: 'postern.toml' }).ok;
}
