/** `postern status`: the doors, who has them open and for how long, and whether both halves are well. */

import type { Command } from 'commander';
import type { WireSource, WireStatus } from '../control/client.ts';
import { jsonOption } from './arguments.ts';
import { ask, controlCommand } from './ask.ts';
import { posternCommand } from './daemon-socket.ts';
import { type Paint, paintFor, type Terminal } from './terminal.ts';
import { alignColumns, count, harmless, placeText, timeLeft } from './wording.ts';

export function addStatus(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'status')
    .description('show the doors, their grants with the time left, bans, and whether all is well')
    .addOption(jsonOption())
    .action(async (options: { json?: true }, command: Command) => {
      end(
        await ask(command, terminal, async (client) => {
          const status = await client.status();
          const { stdout, environment } = terminal;
          const lines = options.json ? [JSON.stringify(status)] : describeStatus(status, paintFor(stdout, environment));
          stdout.write(`${lines.join('\n')}\n`);
          return 0;
        }),
      );
    });
}

/** Lines for people. */
export function describeStatus(status: WireStatus, paint: Paint): readonly string[] {
  const { version, uptime_ms: uptime, firewall, mode, bans, allowed, trial, warnings } = status;
  const lines = [
    `postern ${harmless(version)}, up ${timeLeft(uptime)}, ${harmless(firewall)}`,
    describeWatcher(status, paint),
    ...describeTarpit(status, paint),
    '',
    ...describeDoors(status, paint),
  ];
  if (mode === 'observe') lines.push('', describeObserving(status, paint));
  if (trial) lines.push('', describeTrial(trial, paint));
  for (const [head, sources] of [
    ['ALLOWED', allowed],
    ['BANNED', bans],
  ] as const) {
    if (sources.length > 0) lines.push('', ...describeSources(head, sources, paint));
  }
  if (warnings.length > 0) lines.push('', ...describeWarnings(status, paint));
  return lines;
}

/** Bans that stand drop nothing either. */
export function describeObserving({ would_be_banned: wouldBe = 0 }: WireStatus, paint: Paint): string {
  const banned = wouldBe === 0 ? '' : `, ${count(wouldBe, 'source')} would be banned (postern attackers)`;
  return paint('yellow', `It only observes: nothing is dropped${banned}`);
}

/** A warning may have more lines than one: the hint has its own. */
export function describeWarnings({ warnings }: WireStatus, paint: Paint): readonly string[] {
  return warnings.flatMap((text) => {
    const [first = '', ...rest] = text.split('\n').map(harmless);
    return [`${paint('yellow', 'warning')}: ${first}`, ...rest];
  });
}

/** The command names the file, unless it is the usual one. */
export function describeTrial({ file, remaining_ms }: NonNullable<WireStatus['trial']>, paint: Paint): string {
  const command = posternCommand(harmless(file), 'confirm');
  return `${paint('yellow', 'on trial')} for another ${timeLeft(remaining_ms)}: ${command} keeps it, else what was before is back`;
}

/** Who is banned, or may pass; the head says which. */
export function describeSources(head: string, sources: readonly WireSource[], paint: Paint): readonly string[] {
  const rows = sources.map(({ remaining_ms, via, user, reason, ...place }) => [
    placeText(place),
    timeLeft(remaining_ms),
    harmless(reason ?? (user === undefined ? via : `${via} (${user})`)),
  ]);
  return alignColumns([[head, 'LEFT', 'BY'].map((each) => paint('dim', each)), ...rows]);
}

export function describeWatcher({ watcher }: WireStatus, paint: Paint): string {
  if (watcher.pid === undefined) return paint('red', 'The watcher does not run: nobody hears knocks');
  const drops = Object.entries(watcher.drops).filter(([, number]) => number > 0);
  const dropped = drops.reduce((sum, [, number]) => sum + number, 0);
  const reasons = drops.map(([reason, number]) => `${harmless(reason)} ${number}`).join(', ');
  return [
    `watcher ${watcher.pid}: ${count(watcher.attempts, 'attempt')} under way`,
    count(watcher.received, 'packet'),
    watcher.lost === 0 ? '0 lost' : paint('red', `${watcher.lost} lost`),
    `${dropped} dropped${reasons === '' ? '' : ` (${reasons})`}`,
    ...(watcher.restarts > 0 ? [paint('yellow', count(watcher.restarts, 'restart'))] : []),
    harmless(watcher.confinement),
  ].join(', ');
}

function describeTarpit({ tarpit }: WireStatus, paint: Paint): readonly string[] {
  if (tarpit === undefined) return [];
  if (tarpit.pid === undefined) return [paint('yellow', 'The tarpit does not run: it is started again')];
  const parts = [
    `tarpit ${tarpit.pid}: ${tarpit.held} of ${count(tarpit.connections, 'connection')} held`,
    `${tarpit.total} in all`,
    `${tarpit.turned_away} turned away`,
    ...(tarpit.restarts > 0 ? [paint('yellow', count(tarpit.restarts, 'restart'))] : []),
    harmless(tarpit.confinement),
  ];
  return [parts.join(', ')];
}

export function describeDoors({ doors }: WireStatus, paint: Paint): readonly string[] {
  if (doors.length === 0) return ['There is no door'];
  const rows = doors.flatMap(({ name, protect, grants }) => {
    const head = [harmless(name), protect.map(harmless).join(', ') || '-'];
    if (grants.length === 0) return [[...head, paint('dim', 'closed')]];
    return grants.map(({ remaining_ms, via, user, ...place }, index) => [
      ...(index === 0 ? head : ['', '']),
      paint('green', placeText(place)),
      timeLeft(remaining_ms),
      `${harmless(via)}${user === undefined ? '' : ` (${harmless(user)})`}`,
    ]);
  });
  return alignColumns([['DOOR', 'PORTS', 'SOURCE', 'LEFT', 'BY'].map((head) => paint('dim', head)), ...rows]);
}
