/** What the kernel holds a process to, on all its threads: its user, its capabilities, its confinement, its limits (proc(5)). */

import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessStatus {
  /** Each once; of all threads, real and effective. */
  readonly uids: readonly number[];
  /** Of 64, that some thread holds or could take up. */
  readonly capabilities: bigint;
  readonly noNewPrivs: boolean;
  /** Every thread is under a system call filter. */
  readonly filtered: boolean;
  /** Of what a confined process is to have none of: those that it still may have. */
  readonly unlimited: readonly ('files that grow' | 'core files' | 'new processes')[];
}

const FILTERED = '2';
const LIMITS = [
  ['files that grow', 'Max file size'],
  ['core files', 'Max core file size'],
  ['new processes', 'Max processes'],
] as const;

/** Undefined without /proc, without the process, or where it is another than the one whose command line is `named` so. */
export function processStatus(pid: number, named: RegExp): ProcessStatus | undefined {
  try {
    const process = `/proc/${pid}`;
    if (!named.test(readFileSync(`${process}/cmdline`, 'latin1'))) return undefined;
    const threads = readdirSync(`${process}/task`).map((thread) =>
      readStatus(readFileSync(`${process}/task/${thread}/status`, 'latin1')),
    );
    const limits = readFileSync(`${process}/limits`, 'latin1');
    return {
      uids: [...new Set(threads.flatMap(({ Uid = '' }) => Uid.split('\t').slice(0, 2).map(Number)))],
      capabilities: threads.reduce((all, { CapPrm = '0' }) => all | BigInt(`0x${CapPrm}`), 0n),
      noNewPrivs: threads.every(({ NoNewPrivs }) => NoNewPrivs === '1'),
      filtered: threads.every(({ Seccomp }) => Seccomp === FILTERED),
      unlimited: LIMITS.filter(([, name]) => !new RegExp(`^${name} +0 +0 `, 'm').test(limits)).map(([what]) => what),
    };
  } catch {
    return undefined;
  }
}

function readStatus(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text.split('\n').map((line) => {
      const [name = '', ...values] = line.split(':\t');
      return [name, values.join(':\t')];
    }),
  );
}
