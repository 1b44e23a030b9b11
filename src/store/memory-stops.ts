/** Pending stops that live as long as the process: where there is no disk to write to. */

import type { PendingStop, StopStore } from './stop-store.ts';

export function openMemoryStops(): StopStore {
  const stops = new Map<number, PendingStop>();
  let last = 0;
  return {
    add: (stop) => {
      last++;
      stops.set(last, { ...stop, id: last });
      return last;
    },
    postpone: (id, due) => {
      const stop = stops.get(id);
      if (stop) stops.set(id, { ...stop, due });
      return stop !== undefined;
    },
    remove: (id) => void stops.delete(id),
    all: () => [...stops.values()].sort((x, y) => x.due - y.due || x.id - y.id),
    close: () => stops.clear(),
  };
}
