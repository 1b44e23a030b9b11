/**
 * Rows in memory, with a mirror on disk. Memory is what counts while the process lives, so that a full or broken disk stops no
 * door; the disk has every row before `put` returns, or its trouble is told and the whole table is written when it can be again.
 */

import type { Rows } from './rows.ts';

export interface Mirror {
  /** Tries again what could not be written; does nothing when all is. */
  retry(): void;
}

export interface MirrorPorts {
  /** Called at each failure. */
  readonly failed: (error: unknown) => void;
  /** Called when the disk holds everything again. */
  readonly caughtUp: () => void;
}

export function mirrorRows<Row extends Key, Key>(
  memory: Rows<Row, Key>,
  disk: Rows<Row, Key>,
  ports: MirrorPorts,
): Rows<Row, Key> & Mirror {
  let behind = false;
  const write = (step: () => void): void => {
    try {
      if (behind) disk.replace(memory.all());
      else step();
      if (behind) ports.caughtUp();
      behind = false;
    } catch (error) {
      behind = true;
      ports.failed(error);
    }
  };
  return {
    put: (row) => {
      memory.put(row);
      write(() => disk.put(row));
    },
    end: (key) => {
      const there = memory.end(key);
      if (there) write(() => void disk.end(key));
      return there;
    },
    get: memory.get,
    all: memory.all,
    replace: (rows) => {
      memory.replace(rows);
      write(() => disk.replace(rows));
    },
    retry: () => {
      if (behind) write(() => {});
    },
  };
}
