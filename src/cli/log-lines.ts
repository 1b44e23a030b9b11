/** Events as lines for people: time, what, door, source, and why. Columns keep the width of the widest so far, so that they hold while more come. */

import type { WireEvent } from '../control/wire-event.ts';
import type { Format, Paint } from './terminal.ts';
import { count, harmless, localTime } from './wording.ts';

const FORMATS: Readonly<Record<string, Format>> = {
  opened: 'green',
  renewed: 'green',
  adopted: 'green',
  denied: 'yellow',
  failed: 'yellow',
  trapped: 'yellow',
  refused: 'yellow',
  scanned: 'yellow',
  banned: 'red',
  applied: 'yellow',
  confirmed: 'green',
  reverted: 'yellow',
  restored: 'red',
  warned: 'red',
  stage: 'cyan',
  skipped: 'dim',
  omitted: 'dim',
};

export class LogLines {
  readonly #paint: Paint;
  readonly #printTime: (moment: number) => string;
  readonly #widths = [8, 4, 11];

  constructor(paint: Paint, printTime = localTime) {
    this.#paint = paint;
    this.#printTime = printTime;
  }

  /** Makes room for these before the first of them is printed. */
  expect(events: readonly WireEvent[]): void {
    for (const event of events) this.#pad(cellsOf(event));
  }

  print(event: WireEvent): string {
    const [type, door, source] = this.#pad(cellsOf(event));
    const format = FORMATS[event.type];
    const time = this.#printTime(Date.parse(event.time));
    const painted = format ? this.#paint(format, type) : type;
    return [this.#paint('dim', time), painted, door, source, remarkOf(event)].join('  ').trimEnd();
  }

  #pad(cells: readonly [string, string, string]): [string, string, string] {
    return cells.map((cell, i) => {
      this.#widths[i] = Math.max(this.#widths[i] ?? 0, cell.length);
      return cell.padEnd(this.#widths[i] ?? 0);
    }) as [string, string, string];
  }
}

function cellsOf(event: WireEvent): [string, string, string] {
  if (event.type === 'skipped') return [event.type, '', ''];
  return [event.type, harmless(event.door ?? ''), harmless(event.source ?? '')];
}

function remarkOf(event: WireEvent): string {
  if (event.type === 'skipped') return `${count(event.count, 'event')} left out: too many at once`;
  if (event.type === 'stage') return `${'●'.repeat(event.stage)}${'○'.repeat(Math.max(0, event.of - event.stage))}`;
  const { reason, via, user, detail } = event;
  const why = reason ?? (via === undefined ? '' : `by ${via}`);
  const parts = [why, user === undefined ? '' : `(${user})`, detail].filter((part) => part);
  return harmless(parts.join(' ').trim().replaceAll('\n', ' | '));
}
