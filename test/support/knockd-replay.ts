/**
 * Plays a recorded knockd run to our knockd in a lab of the same names and addresses, and tells in which lines the two differ.
 *
 *     server kds0 10.77.1.1 fd77::1 ──────── 10.77.1.2 fd77::2 kdc0 client (packets also from .3 to .9, forged)
 *
 * Compared are standard output and error, log file, command output and exit status, with these liberties and no others:
 * - times, process ids, source ports and link-local addresses are masked; a packet line's month is right here, one too low there;
 * - what a door's commands say is compared apart from what knocks say: knockd's children write when they get to it;
 * - left out are the recorder's own marks, the `-D` lines that only one of the two has (`ONLY_KNOCKD`, `ONLY_OURS`), and `-D` packet lines
 *   to ports of no door, which knockd's filter hides from knockd.
 */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KnockdSample } from './knockd-sample.ts';
import { diffLines } from './line-diff.ts';
import { createTopology, type Host, type Topology } from './netns.ts';
import type { Running } from './running.ts';
import { type Sender, startSender } from './sender.ts';

const KNOCKD = join(import.meta.dirname, '../../bin/knockd');

/** `-D` lines about the inside of knockd's matcher, which ours has not; a failed attempt ours reports when it fails. */
const ONLY_KNOCKD = [
  /^removing successful knock attempt/,
  /^removing failed knock attempt/,
  /^packet is not .*, ignoring\.\.\.$/,
];
/** What the watcher is shut into; why an attempt failed; what the configuration's checker thinks. */
const ONLY_OURS = [/^watcher: user /, /: failed at stage \d+: /, /^\S+\.conf:\d+: /, /^hint: /];

export interface Lab {
  readonly topology: Topology<'server' | 'client'>;
  readonly server: Host;
  readonly client: Host;
  readonly sender: Sender;
}

export async function openLab(): Promise<Lab> {
  const topology = await createTopology({ links: [{ ends: ['server', 'client'], interfaces: ['kds0', 'kdc0'] }] });
  const { server, client } = topology.hosts;
  return { topology, server, client, sender: startSender(client) };
}

/** What one sample needs that its recording does not say. */
export interface Staging {
  /** Files that lie in the directory at the start. */
  readonly files?: Readonly<Record<string, string>>;
  /** Run as root on the server before the start, after the end; `#` in `on` are remarks among the actions. */
  readonly before?: string;
  readonly after?: string;
  readonly on?: Readonly<Record<string, (stage: Stage) => Promise<void>>>;
  /** Programs that wrap knockd, `$0` onwards being knockd itself: for mounts of its own. */
  readonly within?: string;
  /** Milliseconds to wait after every action, or after each in turn; default 0. */
  readonly pause?: number | readonly number[];
  /** Milliseconds that must pass between the last action and the end, for what must not happen. */
  readonly linger?: number;
  /** Leave the packet lines out: the kernel's retransmissions race with the client's own end. */
  readonly packetsVary?: true;
  /** How often a command runs before the end, when that is not what the recording has. */
  readonly runs?: number;
}

export interface Stage extends Lab {
  readonly folder: string;
  readonly knockd: Running;
}

export interface Outcome {
  /** Changes that make the recording into what ours did: `- line`, `+ line`. */
  readonly output: readonly string[];
  readonly log: readonly string[];
  readonly commandOutput: readonly string[];
  readonly status: number;
  /** Everything ours said, for the message of a failed test. */
  readonly transcript: string;
}

const QUIET = 80;
const PATIENCE = 10_000;

export async function replay(lab: Lab, sample: KnockdSample, staging: Staging = {}): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), `postern-${sample.name}-`));
  const { server } = lab;
  try {
    writeFileSync(join(folder, `${sample.name}.conf`), sample.config);
    for (const [name, text] of Object.entries(staging.files ?? {})) writeFileSync(join(folder, name), text);
    mkdirSync(join(folder, 'state'));
    if (staging.before) await server.exec(['sh', '-ec', staging.before], { cwd: folder });
    const argv = [process.execPath, KNOCKD, ...sample.argv, '--state', join(folder, 'state')];
    const wrapped = staging.within
      ? ['unshare', '-m', 'sh', '-ec', `${staging.within}; exec "$0" "$@" 2>&1`, ...argv]
      : ['sh', '-c', 'exec "$0" "$@" 2>&1', ...argv];
    const knockd = server.spawn(wrapped, { cwd: folder });
    const stage: Stage = { ...lab, folder, knockd };
    const status = await play(stage, sample, staging);
    const written = (ending: string): string[] => {
      const path = join(folder, `${sample.name}.${ending}`);
      if (!existsSync(path)) return [];
      return lines(readFileSync(path, 'utf8').replaceAll(`${folder}/`, '').replaceAll(folder, 'lab'));
    };
    const ports = doorPorts([sample.config, ...Object.values(staging.files ?? {})].join('\n'));
    const ours = knockd.lines.map((line) => line.replaceAll(`${folder}/`, ''));
    const output = [maskOutput(sample.output, ports), maskOutput(ours, ports)] as const;
    const log = [maskLog(sample.log), maskLog(written('log'))] as const;
    return {
      output: KINDS.slice(staging.packetsVary ? 1 : 0).flatMap((kind) =>
        diffLines(output[0].filter(kind), output[1].filter(kind)),
      ),
      log: KINDS.flatMap((kind) => diffLines(log[0].filter(kind), log[1].filter(kind))),
      commandOutput: diffLines(sample.commandOutput.map(maskText), written('cmd').map(maskText)),
      status,
      transcript: knockd.lines.join('\n'),
    };
  } finally {
    if (staging.after) await server.exec(['sh', '-ec', staging.after], { mayFail: true });
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Everything from the start to the end; the exit status, negative for a signal. */
async function play(stage: Stage, sample: KnockdSample, staging: Staging): Promise<number> {
  const { knockd, sender, client } = stage;
  const listens = sample.output.some((line) => line.startsWith('listening on')) || sample.log.length > 0;
  if (!listens) return statusOf(await knockd.end({ mayFail: true }));
  const started = Date.now();
  while (!isUp(stage, sample) && Date.now() - started < PATIENCE && knockd.running) await sleep(10);
  let signal: NodeJS.Signals | undefined;
  let done = 0;
  for (const action of sample.actions) {
    const remark = /^# (.*)$/.exec(action)?.[1];
    const command = /^\S+\$ (.*)$/.exec(action)?.[1];
    const after = remark === undefined ? null : /^after signal (\d+)/.exec(remark);
    if (after) signal = SIGNALS[after[1]!]!;
    else if (remark !== undefined) {
      const number = /^signal (\d+)$/.exec(remark)?.[1];
      const act = staging.on?.[remark];
      if (act) await act(stage);
      if (number) knockd.kill(SIGNALS[number]!);
      if (!act && !number) continue;
    } else if (action.startsWith('send ')) {
      await sender.send(expandScan(action.slice('send '.length)));
    } else if (command !== undefined) {
      await client.exec(['bash', '-c', `${NC}\n${command.replace(/fe80::\S+%kdc0/g, `${LINK_LOCAL}%kdc0`)}`], {
        mayFail: true,
      });
    } else continue;
    await quiet(knockd);
    const { pause = 0 } = staging;
    await sleep(typeof pause === 'number' ? pause : (pause[done] ?? 0));
    done += 1;
  }
  const runs = staging.runs ?? countRuns(sample.output);
  const deadline = Date.now() + PATIENCE;
  while (sample.argv.includes('-v') && countRuns(knockd.lines) < runs && Date.now() < deadline && knockd.running)
    await sleep(20);
  await sleep(staging.linger ?? 0);
  await quiet(knockd);
  if (signal !== undefined && knockd.running) knockd.kill(signal);
  else if (knockd.running) {
    await sleep(100);
    if (knockd.running) knockd.kill('SIGTERM');
  }
  return statusOf(await knockd.end({ mayFail: true, timeout: 15_000 }));
}

const SIGNALS: Readonly<Record<string, NodeJS.Signals>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  10: 'SIGUSR1',
  15: 'SIGTERM',
};
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGQUIT: -3, SIGKILL: -9, SIGUSR1: -10 };

function statusOf(ended: { readonly status: number | null; readonly signal: string | null }): number {
  return ended.status ?? SIGNAL_NUMBERS[ended.signal ?? ''] ?? -1;
}

/** A quiet knockd tells of its start in the log alone. */
function isUp(stage: Stage, sample: KnockdSample): boolean {
  if (sample.argv.includes('-v')) return stage.knockd.lines.some((line) => line.startsWith('listening on'));
  const log = join(stage.folder, `${sample.name}.log`);
  return existsSync(log) && readFileSync(log, 'utf8').includes('starting up');
}

async function quiet(knockd: Running): Promise<void> {
  for (let seen = -1; knockd.lines.length !== seen; ) {
    seen = knockd.lines.length;
    await sleep(QUIET);
  }
}

/** The link-local address of the server's interface, whose hardware address the harness chooses. */
const LINK_LOCAL = 'fe80::77:ff:fe00:101';

/** The recordings' netcat: connects and gives up after so many seconds, the kernel repeating its SYN meanwhile. */
const NC = `nc() { timeout "\${2#-w}" bash -c "</dev/tcp/$3/$4" 2>/dev/null; }`;

/** A recorded list of ports with `...` in the middle is a scan of all between its ends. */
function expandScan(line: string): string {
  return line.replace(/ (\d+) \d+ [\d ]*\.\.\. [\d ]* (\d+)$/, ' $1-$2');
}

function countRuns(lines: readonly string[]): number {
  return lines.filter((line) => line.includes(': running command: ')).length;
}

function lines(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}

function doorPorts(config: string): Set<string> {
  const sequences = [...config.matchAll(/^\s*(?:sequence\s*=)?\s*((?:\d+(?:\s*:\s*\w+)?\s*,?\s*)+)$/gim)];
  return new Set(sequences.flatMap((match) => match[1]!.match(/\d+/g) ?? []));
}

function maskOutput(all: readonly string[], ports: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  let client = false;
  let skipUntil: RegExp | undefined;
  let rotated = false;
  for (const line of all) {
    // The recorder's look at a file; the usage text that knockd prints under every error.
    if (skipUntil) {
      if (!skipUntil.test(line)) continue;
      skipUntil = undefined;
    }
    if (line.endsWith(' file is now:')) skipUntil = /^----- |^waiting for /;
    if (line === 'usage: knockd [options]') skipUntil = /^$/;
    if (skipUntil || line === '') continue;
    // The filter's text after a one-time sequence: ours is not text, and was printed at the start.
    if (rotated && line.startsWith('adding pcap expression ')) continue;
    rotated = line.startsWith('new sequence for door ');
    if (line.startsWith('----- ') || line.startsWith('  PID ') || /^ *\d+ +\d+ +\d+ \w+ .*knockd/.test(line)) continue;
    // What a client in the lab said, and what the recorder shows of files.
    client = line.startsWith('[client output') || (client && /^(hitting|Failed|getaddrinfo)/.test(line));
    if (client || [...ONLY_KNOCKD, ...ONLY_OURS].some((pattern) => pattern.test(line))) continue;
    const packet = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: (tcp|udp): (.*):\d+ -> (.*):(\d+) (\d+) bytes$/.exec(line);
    if (packet && !ports.has(packet[4]!)) continue;
    kept.push(
      packet
        ? maskText(`packet: ${packet[1]} ${packet[2]} -> ${packet[3]}:${packet[4]} ${packet[5]} bytes`)
        : maskText(line),
    );
  }
  return kept;
}

function maskLog(all: readonly string[]): string[] {
  // knockd ends some messages with a newline of their own: an empty line belongs to the line before it.
  if (all.length === 0) return [];
  return all
    .join('\n')
    .replace(/\n(?=\n|$)/g, '⏎')
    .split('\n')
    .map((line) => maskText(line.replace(/^\[\d{4}-\d\d-\d\d \d\d:\d\d\] /, '[T] ')));
}

function maskText(line: string): string {
  return line
    .replace(/fe80::[0-9a-f:]+/g, 'fe80::LL')
    .replace(/^\d{10} /, 'NOW ')
    .replace(/^l[r-][w-]x------(\d)(?= -> (?:\/dev\/null|pipe:))/, 'FD $1') // How the harness was started.
    .replace(/pipe:\[\d+\]/, 'pipe:[N]')
    .replace(/socket:\[\d+\]/, 'socket:[N]')
    .replace(/\/proc\/\d+\/fd/, '/proc/PID/fd')
    .replace(/^ *\d+ +(\d+) +\1 \?$/, ' PPID PID PID ?')
    .replace(/^SigQ:.*/, 'SigQ') // How busy the machine is.
    .replace(/ +$/, '');
}

const COMMAND = /: running command: |: command returned non-zero/;

/** What is compared apart: packets, commands, and everything else. */
const KINDS: readonly ((line: string) => boolean)[] = [
  (line) => line.startsWith('packet: '),
  (line) => COMMAND.test(line),
  (line) => !line.startsWith('packet: ') && !COMMAND.test(line),
];
