/**
 * What is doubtful about a door as a whole, or about doors together: sequences that a scan opens or that shadow each
 * other, commands that never run. Each rule looks at every door once.
 */

import { fromBytes } from './knockd-lines.ts';
import type { DoorDraft } from './knockd-lower.ts';
import { type Finding, finding, quote } from './problem.ts';
import { lintNeighbours, lintScan, type Sequenced } from './sequence-lint.ts';

const LONGEST_COMMAND = 4095;
const LONGEST_IPV4 = 15;
const LONGEST_IPV6 = 39;

export type Report = (line: number, about: Finding) => void;

/** Reports on all doors that have a sequence. */
export function lintDoors(doors: readonly DoorDraft[], report: Report): void {
  const names = new Map<string, number>();
  for (const door of doors) {
    const first = names.get(door.name);
    if (first === undefined) names.set(door.name, door.line);
    else {
      const message = `The door ${quote(door.name)} is there twice: this is another door beside the one of line ${first}`;
      report(door.line, finding('warning', message, 'Give it another name, or merge the two sections'));
    }
    lintCommands(door, report);
    const line = sequenceLine(door);
    for (const about of lintSteps(door)) report(line, about);
  }
  for (const { door, about } of lintNeighbours(doors.map(sequenced))) report(door.sequenceLine, about);
}

function sequenced(door: DoorDraft): Sequenced {
  const { name, line, steps, tcpFlags } = door;
  const target = door.settings.get('Target')?.value;
  return { name, line, sequenceLine: sequenceLine(door), steps, tcpFlags, ...(target !== undefined && { target }) };
}

function sequenceLine(door: DoorDraft): number {
  const { settings } = door;
  const key = door.oneTime?.current ? 'One_Time_Sequences' : 'Sequence';
  return settings.get(key)?.line ?? door.line;
}

function* lintSteps(door: DoorDraft): Generator<Finding> {
  yield* lintScan(door.steps);
  const flags = door.tcpFlags.set | door.tcpFlags.clear;
  if (door.steps.length > 0 && flags !== 0 && door.steps.every((step) => step.protocol === 'udp')) {
    yield finding(
      'warning',
      'TCPFlags has no effect on a sequence of UDP packets',
      'Remove TCPFlags, or mix TCP ports in',
    );
  }
}

function lintCommands(door: DoorDraft, report: Report): void {
  const { settings } = door;
  const [start, start6] = [settings.get('Start_Command'), settings.get('Start_Command_6')];
  const [stop, stop6] = [settings.get('Stop_Command'), settings.get('Stop_Command_6')];
  const starts6 = (start6 ?? start)?.value;
  const unused = 'A stop command runs only after a start command: write "Start_Command = true" to have it alone';
  if (stop?.value && !start?.value && !(starts6 && !stop6)) {
    report(stop.line, finding('warning', 'Stop_Command never runs: the door has no start command', unused));
  }
  if (stop6?.value && !starts6) {
    const message = 'Stop_Command_6 never runs: the door has no start command for IPv6';
    report(stop6.line, finding('warning', message, unused));
  }
  for (const [key, setting] of settings) {
    if (!/^(Start|Stop)_Command/.test(key)) continue;
    const other = settings.has(key === 'Start_Command' ? 'Start_Command_6' : 'Stop_Command_6');
    const address = key.endsWith('_6') || !other ? LONGEST_IPV6 : LONGEST_IPV4;
    const tokens = setting.value.split('%IP%').length - 1;
    const length = setting.value.length + tokens * (address - '%IP%'.length);
    if (length <= LONGEST_COMMAND) continue;
    const message = `${key} may grow to ${length} bytes with the address in it: knockd runs neither command beyond ${LONGEST_COMMAND}`;
    report(setting.line, finding('warning', message, 'Put the command into a script and call that'));
  }
}

/** Is it a door to knockd, and `[options]` to its author? */
export function looksLikeOptions(name: string): boolean {
  return name !== 'options' && /^\s*options?\s*$/i.test(name);
}

/** Names that look like `[options]` and are doors to knockd, and names that are cut. */
export function lintSectionName(bytes: string, cut: string): Finding[] {
  const found: Finding[] = [];
  const name = fromBytes(bytes);
  if (looksLikeOptions(name)) {
    found.push(
      finding(
        'warning',
        `${quote(`[${name}]`)} is a door, not the options`,
        'Write "[options]" in lower case, without spaces',
      ),
    );
  }
  if (cut.length < bytes.length) {
    const message = `The name of the door is cut at ${cut.length} bytes`;
    found.push(finding('warning', message, `Use a name of at most ${cut.length} bytes`));
  }
  return found;
}
