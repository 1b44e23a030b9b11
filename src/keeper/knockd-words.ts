/** The keeper's events in knockd's words, line for line; what knockd has no line for is said in its manner. One table. */

import { printAddress } from '../core/address.ts';
import { printSteps } from '../core/door.ts';
import type { FailReason } from '../core/events.ts';
import type { Counts } from '../core/messages.ts';
import type { KeeperEvent } from './events.ts';
import type { Journal } from './journal.ts';
import type { Names } from './names.ts';

/** Returns what writes the events to the journal. */
export function knockdWords(journal: Journal, names: Names): (event: KeeperEvent) => void {
  return (event) => {
    switch (event.type) {
      case 'advanced':
        return names.withLabel(event.source, (who) => journal.event(`${who}: ${event.door}: Stage ${event.stage}`));
      case 'expired':
        return names.withLabel(event.source, (who) =>
          journal.event(`${who}: ${event.door}: sequence timeout (stage ${event.stage})`, true),
        );
      case 'failed': {
        const source = printAddress(event.source);
        journal.debug(`removing failed knock attempt (${source})`);
        return journal.debug(`${source}: ${event.door}: failed at stage ${event.stage}: ${FAILURES[event.reason]}`);
      }
      case 'knocked':
        return names.withLabel(event.source, (who) => journal.event(`${who}: ${event.door}: OPEN SESAME`));
      case 'flooded':
        return journal.error(`${event.door}: opened too often, further knocks are refused for a while`);
      case 'spent':
        if (event.next) return journal.debug(`new sequence for door ${event.door}: ${printSteps(event.next)}`);
        return journal.error(
          `no more sequences left in the one time sequences file for door ${event.door} --> disabling the door`,
          true,
        );
      case 'replayed':
        return journal.error(`${event.door}: this one time sequence is used or taken out, it opens nothing`);
      case 'unmarked':
        return journal.error(
          `error while disabling used one time sequence for door ${event.door} --> disabling the door`,
          true,
        );
      case 'packet': {
        const { time, protocol, from, to, length } = event.packet;
        return journal.debug(`${stamp(new Date(time))}: ${protocol}: ${from} -> ${to} ${length} bytes`);
      }
      case 'confined': {
        const { landlock, seccomp, uid, notes } = event.confinement;
        const domain = landlock === undefined ? 'off' : `ABI ${landlock}`;
        journal.debug(`watcher: user ${uid}, landlock ${domain}, seccomp ${seccomp ? 'on' : 'off'}`);
        if (event.changed) for (const note of notes) journal.event(`watcher: ${note}`);
        return;
      }
      case 'lost':
        return journal.event(`${event.packets} packets were lost because the capture ring was full`);
      case 'counted':
        return journal.event(printCounts(event.counts));
      case 'interface-lost':
        return journal.event(`interface ${event.name} disappeared, waiting for it to come back`);
      case 'interface-back':
        return journal.event(`interface ${event.name} is back`);
      case 'filter-kept':
        return journal.error(`the capture filter stays as it was: ${event.reason}`);
    }
  };
}

const FAILURES: Readonly<Record<FailReason, string>> = {
  strays: 'too many other packets in between',
  order: 'a later step came before its turn',
  evicted: 'it made room for others',
};

function printCounts({ received, lost, drops, attempts, suppressed }: Counts): string {
  const reasons = Object.entries(drops).map(([reason, count]) => `, ${count} dropped (${reason})`);
  return `${received} packets, ${lost} lost${reasons.join('')}, ${attempts} attempts, ${suppressed} lines suppressed`;
}

function stamp(at: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
