/** Resource limits of this process, for good: soft and hard (getrlimit(2)). Lowering needs no privilege, and nobody raises them again. */

import { SystemError, syscall } from './libc.ts';
import { syscallNumber } from './syscalls.ts';

/** Numbers of asm-generic/resource.h, bytes and counts. */
const RESOURCES = { fileSize: 1, core: 4, processes: 6, files: 7 } as const;

export type Limits = { readonly [Resource in keyof typeof RESOURCES]?: number };

/** Lowers limits; false when the kernel, or a filter around us, refuses one. What is open stays open, what runs goes on. */
export function lowerLimits(limits: Limits): boolean {
  try {
    for (const [resource, limit] of Object.entries(limits)) {
      const number = RESOURCES[resource as keyof typeof RESOURCES];
      const both = new BigUint64Array([BigInt(limit), BigInt(limit)]);
      syscall('prlimit64', syscallNumber('prlimit64'), 0, number, new Uint8Array(both.buffer), 0);
    }
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}
