/** `postern attackers`: who has been probing, since when, how, and how often. */

import { type Command, Option } from 'commander';
import type { WireStranger } from '../control/wire-event.ts';
import { jsonOption, readLimit } from './arguments.ts';
import { ask, controlCommand } from './ask.ts';
import { type Paint, paintFor, type Terminal } from './terminal.ts';
import { alignColumns, count, harmless, localTime, placeText } from './wording.ts';

const USUAL = 20;
const SHOWN_PORTS = 4;

export function addAttackers(program: Command, end: (status: number) => void, terminal: Terminal): void {
  controlCommand(program, 'attackers')
    .description('show who has been probing: traps, protected ports, scans and failed knocks, the worst first')
    .addOption(new Option('-n, --limit <number>', 'at most so many').argParser(readLimit).default(USUAL))
    .addOption(jsonOption())
    .action(async (options: { limit: number; json?: true }, command: Command) => {
      end(
        await ask(command, terminal, async (client) => {
          const strangers = await client.attackers(options.limit);
          const { stdout, environment } = terminal;
          const lines = options.json
            ? [JSON.stringify(strangers)]
            : describeStrangers(strangers, paintFor(stdout, environment));
          stdout.write(`${lines.join('\n')}\n`);
          return 0;
        }),
      );
    });
}

/** Lines for people. */
export function describeStrangers(strangers: readonly WireStranger[], paint: Paint): readonly string[] {
  if (strangers.length === 0) return ['Nobody has been probing'];
  const heads = ['SOURCE', 'SINCE', 'LAST', 'POINTS', 'TRAPS', 'TRIES', 'SCANS', 'KNOCKS', 'DENIED', 'PORTS'];
  const rows = strangers.map((stranger) => [
    paint(stranger.banned ? 'red' : 'bold', placeText(stranger)),
    localTime(Date.parse(stranger.since)),
    localTime(Date.parse(stranger.last)),
    String(stranger.points),
    String(stranger.traps),
    String(stranger.closed),
    String(stranger.scans),
    String(stranger.failed),
    String(stranger.denied),
    describeTouched(stranger) + describeBan(stranger, paint),
  ]);
  return alignColumns([heads.map((head) => paint('dim', head)), ...rows]);
}

function describeBan({ banned, would_be_banned: wouldBe }: WireStranger, paint: Paint): string {
  return banned ? paint('red', '  banned') : wouldBe ? paint('yellow', '  would be banned') : '';
}

/** Ports, and doors that were knocked on. */
export function describeTouched(stranger: WireStranger): string {
  const { doors } = stranger;
  const knocked = doors.length === 0 ? [] : [`knocked on ${doors.map(harmless).join(', ')}`];
  return [...describePorts(stranger), ...knocked].join('; ') || '-';
}

function describePorts({ ports, distinct }: WireStranger): readonly string[] {
  const shown = ports.slice(0, SHOWN_PORTS).map(harmless).join(', ');
  const others = Math.max(distinct, ports.length) - Math.min(SHOWN_PORTS, ports.length);
  if (ports.length === 0) return [];
  return [others > 0 ? `${shown} and ${count(others, 'other')}` : shown];
}
