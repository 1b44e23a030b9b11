import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parkNodeOptions, unparkNodeOptions } from '../../src/platform/node-options.ts';

test('A program of ours does not read NODE_OPTIONS, and its commands get them back as they were', () => {
  const env = { PATH: '/bin', NODE_OPTIONS: '--openssl-shared-config' };
  const parked = parkNodeOptions(env);
  assert.deepEqual(parked, { PATH: '/bin', POSTERN_NODE_OPTIONS: '--openssl-shared-config' });
  const child = { ...parked };
  unparkNodeOptions(child);
  assert.deepEqual(child, env);
});

test('Without NODE_OPTIONS nothing changes', () => {
  const env = { PATH: '/bin' };
  assert.deepEqual(parkNodeOptions(env), env);
  unparkNodeOptions(env);
  assert.deepEqual(env, { PATH: '/bin' });
});
