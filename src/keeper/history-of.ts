/** What is written down of what the keeper tells; nothing of what others write down, or nobody. */

import { printAddress } from '../core/address.ts';
import type { HistoryEvent } from '../core/history.ts';
import type { KeeperEvent } from './events.ts';

export function historyOf(event: KeeperEvent): HistoryEvent | undefined {
  switch (event.type) {
    case 'expired':
      return { type: 'failed', door: event.door, source: printAddress(event.source), reason: 'time' };
    case 'failed':
      return { type: 'failed', door: event.door, source: printAddress(event.source), reason: event.reason };
    case 'flooded':
      return { type: 'denied', door: event.door, reason: 'too often' };
    case 'lost':
      return { type: 'warned', detail: `${event.packets} packets were lost because the capture ring was full` };
    case 'interface-lost':
      return { type: 'warned', detail: `interface ${event.name} disappeared` };
    case 'interface-back':
      return { type: 'warned', detail: `interface ${event.name} is back` };
    case 'filter-kept':
      return { type: 'warned', detail: `the capture filter stays as it was: ${event.reason}` };
    default:
      return undefined;
  }
}
