import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { socketsOf } from '../../src/platform/unix-listeners.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('socketsOf() finds where a process listens, and nothing of one that is not there', {
  skip: process.platform !== 'linux' && 'needs /proc',
}, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'a b.sock');
  const server = createServer().listen(path);
  await once(server, 'listening');
  assert.ok(socketsOf(process.pid).includes(path));
  server.close();
  await once(server, 'close');
  assert.ok(!socketsOf(process.pid).includes(path));
  assert.deepEqual(socketsOf(2 ** 22 + 1), []);
});
