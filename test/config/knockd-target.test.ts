import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NOWHERE, readTarget } from '../../src/config/knockd-target.ts';
import { parseAddress } from '../../src/core/address.ts';

const SYNTAX = "can't parse filter expression: syntax error";

// What knockd 0.8 with libpcap 1.10.3 printed after `pcap_compile: ` for a door with this target.
const REFUSED: [string, string][] = [
  ['', SYNTAX],
  ['a b', "unknown host 'a'"],
  ['foo!', "unknown host 'foo'"],
  ['not a host!', "unknown host 'a'"],
  ['a,b', "unknown host 'a'"],
  ['a$b', "unknown host 'a'"],
  ['a-', "unknown host 'a'"],
  ['foo:', "unknown host 'foo'"],
  ['eth0:1', "unknown host 'eth0'"],
  ['router 2', "unknown host 'router'"],
  ['example.com # c', "unknown host 'example.com'"],
  ['1.2.3.4.5', "unknown host '1.2.3.4.5'"],
  ['10.77.1.1 # c', SYNTAX],
  ['1.2.3.4)', SYNTAX],
  ['1.2.3.4 or', SYNTAX],
  ['1.2.3.4, 1.2.3.5', SYNTAX],
  ['1.2.3.4 1.2.3.5', SYNTAX],
  ['1.2.3.4:80', SYNTAX],
  ['[::1]', SYNTAX],
  ['::1::', SYNTAX],
  ['::1%lo', SYNTAX],
  ['fd77::g', SYNTAX],
  ['host', SYNTAX],
  ['tcp', SYNTAX],
  ['gateway', SYNTAX],
  ['-x', SYNTAX],
  ['_y', SYNTAX],
  ['*', SYNTAX],
  ['%IP%', SYNTAX],
  ['..', SYNTAX],
  ['.a', SYNTAX],
  ['é', SYNTAX],
  ['10.0.0.256', "invalid IPv4 address '10.0.0.256'"],
  ['256.1.1.1', "invalid IPv4 address '256.1.1.1'"],
  ['9999999999999', 'number 9999999999999 overflows 32 bits'],
  ['00:11:22:33:44:55', 'ethernet address used in non-ether expression'],
  ['10.0.0.1/24', 'non-network bits set in "10.0.0.1/24"'],
  ['fd77::1/64', 'non-network bits set in "fd77::1/64"'],
  ['10.0.0.0/24', 'Mask syntax for networks only'],
  ['fd77::/64', 'Mask syntax for networks only'],
  ['1.2.3.4/32', 'Mask syntax for networks only'],
  ['10.0.0.0/33', 'mask length must be <= 32'],
];

// What knockd starts with, to never match a packet: names (when they resolve), numbers, expressions.
const DEAF = [
  ...['localhost', 'a_b.c', 'nosuch.host', 'a.', 'any', '1-2', '10.77.1', '10', '80', '127.1', '010.77.1.1'],
  ...[
    '(1.2.3.4)',
    '1.2.3.4 or 1.2.3.5',
    '1.2.3.4 or dst host 5.6.7.8',
    'not localhost',
    '! localhost',
    'localhost or localhost',
  ],
];

describe('readTarget()', () => {
  for (const [text, refusal] of REFUSED) {
    test(`refuses "${text}" as libpcap does`, () => {
      const target = readTarget(text);
      assert.equal(target.refusal, refusal);
      assert.equal(target.finding?.severity, 'error');
    });
  }
  for (const text of DEAF) {
    test(`takes "${text}" for a target that never matches`, () => {
      const target = readTarget(text);
      assert.deepEqual(target.address, NOWHERE);
      assert.equal(target.refusal, undefined);
      assert.equal(target.finding?.severity, 'warning');
    });
  }
  test('takes addresses, and warns of one that knockd would never match', () => {
    assert.deepEqual(readTarget('192.0.2.1'), { address: parseAddress('192.0.2.1') });
    assert.deepEqual(readTarget('fd77::9'), { address: parseAddress('fd77::9') });
    for (const text of ['FD77::9', 'fd77:0::9', '::ffff:192.0.2.1']) {
      const target = readTarget(text);
      assert.deepEqual(target.address, parseAddress(text));
      assert.equal(target.finding?.severity, 'warning');
    }
  });
});
