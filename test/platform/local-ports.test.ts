import assert from 'node:assert/strict';
import { test } from 'node:test';
import { localPorts, parseReserved } from '../../src/platform/local-ports.ts';

test('localPorts() tells the range that the kernel takes ports from', {
  skip: process.platform !== 'linux' && 'no /proc here',
}, () => {
  const found = localPorts();
  assert.ok(found && found.first >= 1 && found.first <= found.last && found.last <= 65535);
});

test('parseReserved() reads ports and ranges, as far as they lie in the range', () => {
  assert.deepEqual(parseReserved('', 32768, 60999), []);
  assert.deepEqual(parseReserved('8080,40000,50000-50002', 32768, 60999), [40000, 50000, 50001, 50002]);
  assert.deepEqual(parseReserved('30000-32769,60998-65535', 32768, 60999), [32768, 32769, 60998, 60999]);
});
