import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AddressSet } from '../../src/core/address-set.ts';
import { address } from '../support/knocks.ts';

test('`AddressSet` knows the whole address, not its end alone', () => {
  const inside = ['192.0.2.1', '2001:db8::1', '2001:db8:1::1', '::c000:201'].map(address);
  const set = new AddressSet(inside);
  for (const each of inside) assert.ok(set.has(each));
  for (const text of ['2001:db8:2::1', '::1', '192.0.2.2', '0.0.0.1', '2001:db8::c000:201']) {
    assert.ok(!set.has(address(text)), text);
  }
  assert.ok(!new AddressSet([]).has(inside[0]!));
});
