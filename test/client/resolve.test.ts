import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResolveError, resolveHost } from '../../src/client/resolve.ts';

test('resolveHost() takes literals as they are, zones included', async () => {
  assert.deepEqual(await resolveHost('192.0.2.1'), [{ address: '192.0.2.1', family: 4 }]);
  assert.deepEqual(await resolveHost('fe80::1%lo', 6), [{ address: 'fe80::1%lo', family: 6 }]);
});

test('resolveHost() reads short IPv4 notation as the C library does', {
  skip: process.platform === 'win32' && 'not on Windows',
}, async () => {
  assert.deepEqual(await resolveHost('127.1'), [{ address: '127.0.0.1', family: 4 }]);
});

test("resolveHost() fails with getaddrinfo's words", async () => {
  const wrongFamily = new ResolveError('Address family for hostname not supported');
  await assert.rejects(resolveHost('192.0.2.1', 6), wrongFamily);
  await assert.rejects(resolveHost('::1', 4), wrongFamily);
  // None of these gets as far as a name server.
  for (const host of ['', '..', 'x'.repeat(300)]) {
    await assert.rejects(resolveHost(host), new ResolveError('Name or service not known'));
  }
});
