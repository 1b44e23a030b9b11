import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../../src/control/controlled.ts';
import { printAddress } from '../../src/core/address.ts';
import { readGuest, readHost, readSource } from '../../src/keeper/asked-source.ts';

test('an address of the link is let in only where it stands for itself alone', () => {
  assert.throws(
    () => readGuest('fe80::1', 64),
    (error: Error) =>
      error instanceof Refusal && /stands? for everybody on it\nhint: .*ipv6_prefix = 128/.test(error.message),
  );
  assert.throws(() => readGuest('febf:ffff::7', 127), Refusal);
  assert.equal(printAddress(readGuest('fe80::1', 128)), 'fe80::1');
  assert.equal(printAddress(readGuest('fec0::1', 64)), 'fec0::1');
  assert.equal(printAddress(readGuest('192.0.2.7', 64)), '192.0.2.7');
  assert.equal(printAddress(readHost('fe80::1', 64)), 'fe80::1', 'what is there already can be ended');
});

test('what is no address, or no host, is refused in words', () => {
  assert.throws(
    () => readSource('192.0.2.0/24', 64),
    /^Refusal: Cannot take the block "192\.0\.2\.0\/24": IPv4 sources are taken one by one\nhint: /,
  );
  assert.throws(() => readHost('224.0.0.1', 64), /"224\.0\.0\.1" is not the address of a host/);
});

test('a source is taken in the form in which it is shown, and as no other block', () => {
  assert.equal(printAddress(readHost('2001:db8:9::/64', 64)), '2001:db8:9::');
  assert.equal(printAddress(readHost('2001:db8:9::7/128', 128)), '2001:db8:9::7');
  assert.equal(printAddress(readHost('192.0.2.7/32', 64)), '192.0.2.7');
  assert.throws(() => readHost('2001:db8:9::/48', 64), /"2001:db8:9::\/48": IPv6 sources are taken by their \/64\n/);
  assert.throws(() => readHost('2001:db8:9::/64', 56), Refusal);
  assert.throws(() => readHost('2001:db8:9::/', 64), Refusal);
  assert.throws(() => readSource('x/64', 64), /"x\/64" is not an IPv4 or IPv6 address/);
});
