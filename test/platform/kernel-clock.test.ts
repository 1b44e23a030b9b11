import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isClockSynchronized, kernelBuilt } from '../../src/platform/kernel-clock.ts';
import { thisMachine } from '../../src/platform/syscalls.ts';

test('the kernel says whether its clock is kept right', {
  skip: thisMachine() === undefined && 'its calls are not known here',
}, () => {
  assert.equal(typeof isClockSynchronized(), 'boolean');
});

test('the day a kernel was built is read from what it says of itself', () => {
  for (const [text, day] of [
    ['#1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29)', '2023-09-29'],
    ['#25-Ubuntu SMP PREEMPT_DYNAMIC Fri Jan 12 09:12:05 UTC 2024', '2024-01-12'],
    ['#1-Alpine SMP PREEMPT_DYNAMIC Thu, 02 Jan 2025 10:00:00 +0000', undefined],
    ['#1 SMP PREEMPT_DYNAMIC @0', undefined],
    ['#1 SMP (2023-99-99)', undefined],
  ] as const) {
    const built = kernelBuilt(text);
    assert.equal(built && new Date(built).toISOString().slice(0, 10), day, text);
  }
});
