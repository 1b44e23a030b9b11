import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookupAccount, tarpitAccount, watcherAccount } from '../../src/platform/accounts.ts';

const USUAL = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/:/sbin/nologin\n';

test('The watcher shares its user id with nobody; lookups are made by `nobody`', () => {
  assert.deepEqual(watcherAccount(USUAL, ''), { uid: 65527, gid: 65527 });
  assert.deepEqual(lookupAccount(USUAL), { uid: 65534, gid: 65533 });
  assert.deepEqual(watcherAccount('', ''), { uid: 65527, gid: 65527 });
  assert.deepEqual(lookupAccount(''), { uid: 65534, gid: 65534 });
});

test('The watcher is `postern` where there is such a user, unless that is root', () => {
  assert.deepEqual(watcherAccount(`${USUAL}postern:x:998:997::/:/bin/false\n`, ''), { uid: 998, gid: 997 });
  assert.equal(watcherAccount(`${USUAL}postern:x:0:0::/:/bin/false\n`, '').uid, 65527);
});

test('The watcher is never of the group that may use the control socket', () => {
  const passwd = `${USUAL}postern:x:998:997::/:/bin/false\n`;
  assert.deepEqual(watcherAccount(passwd, 'postern:x:997:alice\n'), { uid: 998, gid: 65527 });
  assert.deepEqual(tarpitAccount(passwd, 'postern:x:997:alice\n'), { uid: 65526, gid: 65526 });
  assert.deepEqual(watcherAccount(passwd, 'postern:x:996:alice\npostern-watcher:x:997:\n'), { uid: 998, gid: 997 });
});

test('A number that a user or a group has is not taken', () => {
  assert.equal(watcherAccount(`${USUAL}a:x:65527:100::/:/bin/sh\n`, 'b:x:65526:a\n').uid, 65525);
  const all = Array.from({ length: 8 }, (_, index) => `u${index}:x:${65520 + index}:1::/:/bin/sh`).join('\n');
  assert.equal(watcherAccount(`${USUAL}${all}`, '').uid, 65534);
});

test('The tarpit is somebody else than the watcher', () => {
  assert.deepEqual(tarpitAccount(USUAL, ''), { uid: 65526, gid: 65526 });
  assert.deepEqual(tarpitAccount(`${USUAL}postern:x:998:997::/:/bin/false\n`, ''), { uid: 65527, gid: 65527 });
  assert.equal(tarpitAccount(`${USUAL}a:x:65526:100::/:/bin/sh\n`, '').uid, 65525);
});
