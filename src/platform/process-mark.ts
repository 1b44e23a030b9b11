/**
 * How a running process is known again by another one, also after its number was given away: its id and when it started, the
 * 22nd field of /proc/PID/stat (proc_pid_stat(5)). Linux; elsewhere no process has a mark.
 */

import { readFileSync } from 'node:fs';

/** Who marks processes, and tells whether a marked one still runs. */
export interface ProcessMarks {
  /** Undefined for a process that is gone, and where processes cannot be told apart. */
  readonly markProcess: (pid: number) => string | undefined;
  /** False for a process that has ended, though nobody has waited for it yet. */
  readonly stillRuns: (mark: string) => boolean;
}

export const processMarks: ProcessMarks = {
  markProcess: (pid) => {
    const found = readStat(pid);
    return found && `${pid} ${found.started}`;
  },
  stillRuns: (mark) => {
    const [, pid, started] = /^([1-9]\d*) (\d+)$/.exec(mark) ?? [];
    const found = readStat(Number(pid));
    return found !== undefined && found.started === started && found.state !== 'Z' && found.state !== 'X';
  },
};

function readStat(pid: number): { readonly state: string; readonly started: string } | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The second field is the program's name in parentheses, with whatever characters it has, parentheses too. */
function parseStat(text: string): { readonly state: string; readonly started: string } | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const started = fields[19];
  return state && started ? { state, started } : undefined;
}
