/** Addresses: one strict reader, `inet_ntop`'s printing, and the platform as a second opinion on both. */

import assert from 'node:assert/strict';
import { isIP, SocketAddress } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Address,
  family,
  ipv4,
  isHost,
  isLinkLocal,
  isLoopback,
  parseAddress,
  printAddress,
  sameAddress,
} from '../../src/core/address.ts';

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
// Whole words of random bits hardly ever have zero groups, which is all that printing is about.
const halves = fc.array(fc.oneof(fc.constant(0), fc.constant(0), fc.constant(0xffff), fc.nat(0xffff)), {
  minLength: 8,
  maxLength: 8,
});
const address: fc.Arbitrary<Address> = fc.oneof(
  fc.record({ a: word, b: word, c: word, d: word }, { noNullPrototype: true }),
  word.map(ipv4),
  halves.map((groups) => {
    const pair = (index: number): number => (groups[index]! << 16) | groups[index + 1]!;
    return { a: pair(0), b: pair(2), c: pair(4), d: pair(6) };
  }),
);
const text = fc.oneof(fc.ipV4(), fc.ipV6(), address.map(printAddress));

/** Text one or two small slips away from an address. */
const mutated = fc
  .tuple(
    text,
    fc.array(
      fc.record({
        at: fc.nat(50),
        cut: fc.nat(3),
        put: fc.oneof(
          fc.constantFrom('', ':', '::', '.', '0', '00', '1', 'f', 'F', 'g', ' ', '\n', '-', '+', '256', 'x'),
          text,
        ),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  )
  .map(([start, slips]) =>
    slips.reduce((now, { at, cut, put }) => {
      const place = at % (now.length + 1);
      return now.slice(0, place) + put + now.slice(place + cut);
    }, start),
  );
const addressLike = fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF:::...'), maxLength: 48 });

test('`parseAddress()` reads back what `printAddress()` prints', () => {
  fc.assert(
    fc.property(address, (original) => {
      const parsed = parseAddress(printAddress(original));
      assert.deepEqual(parsed, original);
      assert.ok(parsed && sameAddress(parsed, original));
    }),
  );
});

test('`parseAddress()` accepts exactly what the platform does, zones apart', () => {
  fc.assert(
    fc.property(fc.oneof(text, mutated, addressLike, fc.string()), (input) => {
      if (input.includes('%')) return assert.equal(parseAddress(input), undefined);
      assert.equal(parseAddress(input) !== undefined, isIP(input) !== 0, JSON.stringify(input));
    }),
    { numRuns: 5000 },
  );
});

test('`parseAddress()` reads the same bits as the platform', () => {
  const canonical = (input: string): string =>
    new SocketAddress({ address: input, family: isIP(input) === 4 ? 'ipv4' : 'ipv6' }).address;
  fc.assert(
    fc.property(fc.oneof(text, mutated), (input) => {
      const parsed = isIP(input) && !input.includes('%') ? parseAddress(input) : undefined;
      if (!parsed) return;
      const ours = printAddress(parsed);
      const theirs = canonical(input);
      // Where 96 bits are zero or the address is mapped, systems differ in when they print dots: compare the bits.
      assert.deepEqual(parseAddress(theirs), parsed);
      if (family(parsed) === 6 && (parsed.a | parsed.b | parsed.c) !== 0) assert.equal(ours, theirs);
    }),
    { numRuns: 2000 },
  );
});

test('`parseAddress()` refuses what looks like an address and is none', () => {
  const refused = [
    ...['', ' ', '.', '...', '1', '1.2.3', '1.2.3.', '.1.2.3', '1..2.3', '1...', '1.2.3.4.', '1.2.3.4.5', '1.2.3.256'],
    ...[
      '01.2.3.4',
      '1.2.3.04',
      '00.0.0.0',
      '1.2.3.-4',
      '1.2.3.+4',
      '1.2.3.4 ',
      ' 1.2.3.4',
      '1.2.3.4\n',
      '0x1.2.3.4',
      '1.2.3.4e0',
    ],
    ...['1.2.3.4/32', '1,2,3,4', '１.2.3.4', '16909060', '999999999999.1.1.1'],
    ...[
      ':',
      ':::',
      '::1::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      ':1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:',
      '12345::',
      'g::',
    ],
    ...[
      '::1 ',
      '[::1]',
      '::1%lo',
      'fe80::1%eth0',
      '::1/128',
      '1:2:3:4:5:6:7:8::',
      '::1:2:3:4:5:6:7:8',
      '1::2:3:4:5:6:7:8',
    ],
    ...[
      '1.2.3.4::',
      '::1.2.3',
      '::1.2.3.4.5',
      '::1..2.3',
      '::01.2.3.4',
      '::1.2.3.4:5',
      '::ffff:1.2.3.256',
      '1:2:3:4:5:6:7:1.2.3.4',
    ],
    ...['0000:0000:0000:0000:0000:ffff:255.255.255.2555', '::-1', '::+1', '::0x1'],
  ];
  for (const input of refused) assert.equal(parseAddress(input), undefined, JSON.stringify(input));
});

test('`printAddress()` prints as `inet_ntop` does', () => {
  const printed: [string, string][] = [
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['::2', '::2'],
    ['::ffff', '::ffff'],
    ['::1:0', '::0.1.0.0'],
    ['::1.2.3.4', '::1.2.3.4'],
    ['::102:304', '::1.2.3.4'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:102:304', '1.2.3.4'],
    ['::fffe:1.2.3.4', '::fffe:102:304'],
    ['::ffff:0:1.2.3.4', '::ffff:0:102:304'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:0:2:0:0:3:4', '1::2:0:0:3:4'],
    ['1:0:2:0:3:0:4:0', '1:0:2:0:3:0:4:0'],
    ['2001:0DB8::000A:0', '2001:db8::a:0'],
    ['fe80::', 'fe80::'],
    ['0:0:0:0:1:0:0:0', '::1:0:0:0'],
    ['ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.254', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe'],
    ['FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ];
  for (const [input, expected] of printed) {
    const parsed = parseAddress(input);
    assert.ok(parsed, input);
    assert.equal(printAddress(parsed), expected);
  }
});

test('an IPv4 address and its IPv4-mapped spelling are one address', () => {
  const mapped = parseAddress('::ffff:10.0.0.1');
  const plain = parseAddress('10.0.0.1');
  assert.ok(mapped && plain);
  assert.ok(sameAddress(mapped, plain));
  assert.equal(family(mapped), 4);
  assert.deepEqual(plain, { a: 0, b: 0, c: 0xffff, d: 0x0a000001 });
  assert.deepEqual(parseAddress('200.0.0.1'), ipv4(0xc8000001));
  assert.equal(family({ a: 0, b: 0, c: 0, d: 1 }), 6);
});

test('`isHost()` tells addresses that one host can have from those that none has', () => {
  const answer = (input: string): boolean => isHost(parseAddress(input)!);
  const none = ['0.0.0.0', '224.0.0.0', '239.255.255.255', '255.255.255.255', '::', 'ff00::', 'ff02::1', 'ffff::1'];
  const hosts = ['0.0.0.1', '10.0.0.1', '127.0.0.1', '223.255.255.255', '240.0.0.0', '255.255.255.254'];
  const hosts6 = ['::1', 'fe80::1', 'feff::', '::1:0:0', '0:0:1::', '0:1::', '2001:db8::'];
  for (const input of none) assert.equal(answer(input), false, input);
  for (const input of [...hosts, ...hosts6]) assert.equal(answer(input), true, input);
});

test('`sameAddress()` looks at every word', () => {
  fc.assert(
    fc.property(address, fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 31 }), (one, name, bit) => {
      assert.ok(sameAddress(one, { ...one }));
      assert.ok(!sameAddress(one, { ...one, [name]: one[name] ^ (1 << bit) }));
    }),
  );
});

test('`isLoopback()` knows 127/8 and ::1, and nothing beside them', () => {
  const answer = (input: string): boolean => isLoopback(parseAddress(input)!);
  for (const input of ['127.0.0.1', '127.0.0.0', '127.255.255.255', '::1']) assert.ok(answer(input), input);
  const others = [
    '126.255.255.255',
    '128.0.0.0',
    '0.0.0.127',
    '0.0.0.1',
    '255.0.0.1',
    '::',
    '::2',
    '::1:0:0:1',
    '1::1',
  ];
  for (const input of [...others, '0:1::1', '::127.0.0.1', '7f00::', '::7f00:0:1']) assert.ok(!answer(input), input);
});

test('`isLinkLocal()` knows fe80::/10, and nothing beside it', () => {
  const answer = (input: string): boolean => isLinkLocal(parseAddress(input)!);
  for (const input of ['fe80::', 'fe80::1', 'febf:ffff::', 'fe80:1::1', 'fe81::']) assert.ok(answer(input), input);
  for (const input of ['fe7f::', 'fec0::', 'ff80::', '7e80::', '169.254.0.1', '254.128.0.1', '::']) {
    assert.ok(!answer(input), input);
  }
});
