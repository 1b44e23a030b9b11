/**
 * What a program costs, children included, as the kernel keeps account of it in /proc: CPU time to the nanosecond
 * (schedstat, summed over threads), memory from smaps_rollup. A daemon of two processes is charged for both.
 */

import { readdirSync, readFileSync } from 'node:fs';

/** Memory in MiB. A page that several processes share counts in full in `resident`, by its share in `proportional`. */
export interface Memory {
  readonly resident: number;
  readonly proportional: number;
  /** Pages that no other process has. */
  readonly private: number;
}

/** A process and everything it started that is still its descendant. */
export function processTree(pid: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const parent = parentOf(Number(entry));
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
  }
  const tree = [pid];
  for (const member of tree) tree.push(...(children.get(member) ?? []));
  return tree;
}

function parentOf(pid: number): number | undefined {
  // The name in parentheses may hold anything; the fields begin behind the last one.
  const [, parent] = (tryRead(`/proc/${pid}/stat`)?.replace(/^.*\) /s, '') ?? '').split(' ');
  return parent === undefined ? undefined : Number(parent);
}

/** CPU time used so far by these processes, in microseconds. */
export function cpuMicroseconds(pids: readonly number[]): number {
  return sumOfThreads(pids, ([running = 0]) => running);
}

/** The same and the time they could have run but had to wait for a processor: a daemon that is starved is not at rest. */
export function busyMicroseconds(pids: readonly number[]): number {
  return sumOfThreads(pids, ([running = 0, waiting = 0]) => running + waiting);
}

/** Sums what `pick` takes from each thread's schedstat: nanoseconds run, nanoseconds waited for a processor, times run. */
function sumOfThreads(pids: readonly number[], pick: (fields: readonly number[]) => number): number {
  let nanoseconds = 0;
  for (const pid of pids) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += pick((tryRead(`/proc/${pid}/task/${task}/schedstat`) ?? '').split(' ').map(Number));
    }
  }
  return nanoseconds / 1000;
}

/** What these processes hold together. */
export function memoryOf(pids: readonly number[]): Memory {
  const sum = (...keys: readonly string[]): number => {
    const kilobytes = pids.flatMap((pid) => {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      return keys.map((key) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]));
    });
    return kilobytes.reduce((total, value) => total + value, 0) / 1024;
  };
  return { resident: sum('Rss'), proportional: sum('Pss'), private: sum('Private_Clean', 'Private_Dirty') };
}

function tryRead(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // It ended meanwhile.
  }
}
