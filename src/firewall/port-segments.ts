/**
 * The protected ports of all doors, cut where their ranges begin and end, so that a packet's port belongs to one segment: the
 * doors of a segment are those whose grant lets a source in there. Shared by the drivers that guard by port.
 */

import type { Protocol } from '../core/door.ts';
import type { CloseMode, DoorPolicy } from '../core/policy.ts';
import type { Guard } from './driver.ts';

export interface PortSegment {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
  /** In the order of the configuration; empty for the tarpit's port alone. */
  readonly doors: readonly string[];
  /** The strictest of its doors' ways to close: with `cut` and `kill`, sessions need a standing grant, too. */
  readonly close: CloseMode;
}

/** The segments of all doors: TCP before UDP, ports ascending, none overlapping another. */
export function portSegments(doors: readonly DoorPolicy[]): PortSegment[] {
  return (['tcp', 'udp'] as const).flatMap((protocol) => segmentsOf(doors, protocol));
}

/** The segments of a guard in force: none while it only observes. The tarpit's port is nobody's: no grant opens it. */
export function guardedSegments({ doors, tarpit, observe }: Guard): PortSegment[] {
  if (observe) return [];
  const pit: readonly PortSegment[] =
    tarpit === undefined ? [] : [{ protocol: 'tcp', first: tarpit, last: tarpit, doors: [], close: 'keep' }];
  return [...portSegments(doors), ...pit];
}

function segmentsOf(doors: readonly DoorPolicy[], protocol: Protocol): PortSegment[] {
  const ranges = doors.flatMap((door) =>
    door.protect.filter((range) => range.protocol === protocol).map((range) => ({ door, range })),
  );
  const edges = [...new Set(ranges.flatMap(({ range }) => [range.first, range.last + 1]))].sort((x, y) => x - y);
  return edges.flatMap((first, index): PortSegment[] => {
    const next = edges[index + 1];
    if (next === undefined) return [];
    const inside = ranges.filter(({ range }) => range.first <= first && first <= range.last).map(({ door }) => door);
    if (inside.length === 0) return [];
    const doorNames = [...new Set(inside.map((door) => door.name))];
    return [{ protocol, first, last: next - 1, doors: doorNames, close: strictest(inside) }];
  });
}

function strictest(doors: readonly DoorPolicy[]): CloseMode {
  const modes = new Set(doors.map((door) => door.close));
  return modes.has('kill') ? 'kill' : modes.has('cut') ? 'cut' : 'keep';
}
