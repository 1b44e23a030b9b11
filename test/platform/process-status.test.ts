import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCapability } from '../../src/platform/capabilities.ts';
import { processStatus } from '../../src/platform/process-status.ts';

const skip = process.platform !== 'linux' && 'needs Linux';
const CAP_NET_ADMIN = 12;

test('what the kernel holds a process to is read from all its threads', { skip }, () => {
  const status = processStatus(process.pid, /./);
  assert.deepEqual(status?.uids, [process.getuid?.()]);
  assert.equal(((status?.capabilities ?? 0n) & (1n << BigInt(CAP_NET_ADMIN))) !== 0n, hasCapability(CAP_NET_ADMIN));
  // Nobody has shut in a test.
  assert.ok(status?.unlimited.includes('new processes'));
});

test('a process that is not there, or is another one by now, has none', { skip }, () => {
  assert.equal(processStatus(process.pid, /watcher.main/), undefined);
  assert.equal(processStatus(2 ** 30, /./), undefined);
});
