/** Pending stops that live as long as the process: where there is no disk to write to. */

import type { PendingStop, StopStore } from './stop-store.ts';

export function openMemoryStops(initial: readonly PendingStop[] = []): StopStore {
  const stops = new Map(initial.map((stop) => [stop.id, stop]));
  let last = Math.max(0, ...stops.keys());
  return {
    add: (stop) => {
      last++;
      stops.set(last, { ...stop, id: last });
      return last;
    },
    postpone: (id, due, longest, starter) => {
      const stop = stops.get(id);
      if (!stop) return false;
      const { starter: _, ...rest } = stop;
      stops.set(id, { ...rest, due, longest, ...(starter !== undefined && { starter }) });
      return true;
    },
    remove: (id) => void stops.delete(id),
    all: () => [...stops.values()].sort((x, y) => x.due - y.due || x.id - y.id),
    close: () => stops.clear(),
  };
}
