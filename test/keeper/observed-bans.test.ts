import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipv4 } from '../../src/core/address.ts';
import { ObservedBans } from '../../src/keeper/observed-bans.ts';

test('observed bans end with their time, stand once, and are bounded', () => {
  const bans = new ObservedBans(2);
  assert.equal(bans.begin(ipv4(1), 100, 0), true);
  assert.equal(bans.begin(ipv4(1), 100, 50), false, 'it stands');
  assert.equal(bans.begin(ipv4(2), 100, 50), true);
  assert.equal(bans.begin(ipv4(3), 100, 50), false, 'there is no room');
  assert.deepEqual([bans.has(ipv4(1), 99), bans.has(ipv4(1), 100), bans.size(99), bans.size(100)], [true, false, 2, 1]);
  assert.equal(bans.begin(ipv4(3), 100, 100), true);
  bans.end(ipv4(3));
  assert.equal(bans.size(100), 1);
  bans.clear();
  assert.equal(bans.size(100), 0);
});
