/** What the kernel knows of its wall clock: whether anybody keeps it right (adjtimex(2)), and a day that it cannot be before. */

import { version } from 'node:os';
import { SystemError, syscall } from './libc.ts';
import { syscallNumber, thisMachine } from './syscalls.ts';

const STA_UNSYNC = 0x40;
/** struct timex on 64-bit machines; `status` in it. */
const TIMEX = 208;
const STATUS = 40;

/** Has a time server, or whoever else disciplines clocks, set it lately? Undefined where the kernel does not say. */
export function isClockSynchronized(): boolean | undefined {
  if (thisMachine() === undefined) return undefined;
  const timex = new Uint8Array(TIMEX);
  try {
    // Modes 0: reads, changes nothing.
    syscall('adjtimex', syscallNumber('adjtimex'), timex);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
  return (new DataView(timex.buffer).getInt32(STATUS, true) & STA_UNSYNC) === 0;
}

/** When this kernel was built, as it says itself (uname(2)): milliseconds since 1970; undefined where it names no day. */
export function kernelBuilt(text = version()): number | undefined {
  // "#1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29)", "#25-Ubuntu SMP Fri Jan 12 09:12:05 UTC 2024"
  const day =
    /\((\d{4}-\d\d-\d\d)\)/.exec(text)?.[1] ?? /[A-Z][a-z]{2} +\d{1,2} [\d:]{8} [A-Z]+ \d{4}$/.exec(text)?.[0];
  const built = day === undefined ? Number.NaN : Date.parse(day);
  return Number.isNaN(built) ? undefined : built;
}
