/** Decoding IP packets: what is taken, what is dropped and why, and that no bytes at all bring the decoder down. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printAddress } from '../../src/core/address.ts';
import { decodeNetwork, MAX_EXTENSION_HEADERS } from '../../src/core/decode.ts';
import type { Drop, DropReason, Packet } from '../../src/core/packet.ts';
import { assertWellFormed, embedded } from '../support/decoded.ts';
import {
  AUTHENTICATION,
  authentication,
  DESTINATION_OPTIONS,
  type Extension,
  fragment,
  HOP_BY_HOP,
  type Ipv4Fields,
  type Ipv6Fields,
  ipv4Packet,
  ipv6Packet,
  MOBILITY,
  NO_NEXT_HEADER,
  options,
  patched,
  rawSegment,
  routing,
  type Segment,
  tcpSegment,
  udpSegment,
} from '../support/packet-builder.ts';

const OVER4 = { source: '192.0.2.7', destination: '198.51.100.1' };
const OVER6 = { source: '2001:db8::7', destination: 'fd77::1' };
const SYN_OPTIONS = Uint8Array.of(2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7);

const v4 = (fields: Partial<Ipv4Fields> = {}, segment = tcpSegment()): Uint8Array =>
  ipv4Packet({ ...OVER4, ...fields }, segment);
const v6 = (fields: Partial<Ipv6Fields> = {}, segment = tcpSegment()): Uint8Array =>
  ipv6Packet({ ...OVER6, ...fields }, segment);
const chain = (...extensions: Extension[]): Uint8Array => v6({ extensions });

const decode = (bytes: Uint8Array, wireLength = bytes.length): Packet | Drop => decodeNetwork(bytes, wireLength);

function taken(bytes: Uint8Array, wireLength = bytes.length): Packet {
  const result = decode(bytes, wireLength);
  assert.ok(!('drop' in result), `dropped: ${'drop' in result && result.drop}`);
  return result;
}

function assertDropped(reason: DropReason, bytes: Uint8Array, wireLength = bytes.length): void {
  assert.deepEqual(decode(bytes, wireLength), { drop: reason });
}

/** Whole packets of every shape that is taken. */
const WHOLE: Record<string, Uint8Array> = {
  'IPv4 TCP': v4(),
  'IPv4 TCP with options and data': v4({}, tcpSegment({ options: SYN_OPTIONS, payload: Uint8Array.of(1, 2, 3) })),
  'IPv4 with options, UDP': v4({ options: Uint8Array.of(7, 7, 4, 0, 0, 0, 0) }, udpSegment()),
  'IPv4 with all the options there can be': v4({ options: new Uint8Array(40).fill(1) }),
  'IPv6 TCP': v6({}, tcpSegment({ options: SYN_OPTIONS })),
  'IPv6 UDP': v6({}, udpSegment({ payload: new Uint8Array(0) })),
  'IPv6 with every extension header': chain(
    options(HOP_BY_HOP),
    options(DESTINATION_OPTIONS, 1),
    routing(4, 0, 2),
    authentication(),
    options(MOBILITY),
    options(139),
    options(140),
    options(DESTINATION_OPTIONS),
  ),
};

test('`decodeNetwork()` reads every field of an IPv4 TCP packet', () => {
  const segment = tcpSegment({
    sourcePort: 65535,
    destinationPort: 22,
    sequence: 0xdeadbeef,
    flags: 0x12,
    options: SYN_OPTIONS,
  });
  const { source, destination, ...rest } = taken(v4({}, segment));
  assert.equal(printAddress(source), '192.0.2.7');
  assert.equal(printAddress(destination), '198.51.100.1');
  assert.deepEqual(rest, {
    protocol: 'tcp',
    sourcePort: 65535,
    destinationPort: 22,
    flags: 0x12,
    sequence: 0xdeadbeef | 0,
    length: 60,
  });
});

test('`decodeNetwork()` reads every field of an IPv6 UDP packet behind extension headers', () => {
  const segment = udpSegment({ sourcePort: 0, destinationPort: 65535, payload: new Uint8Array(5) });
  const bytes = v6({ extensions: [options(HOP_BY_HOP, 3), authentication(16)] }, segment);
  const { source, destination, ...rest } = taken(bytes);
  assert.equal(printAddress(source), '2001:db8::7');
  assert.equal(printAddress(destination), 'fd77::1');
  assert.deepEqual(rest, {
    protocol: 'udp',
    sourcePort: 0,
    destinationPort: 65535,
    flags: 0,
    sequence: 0,
    length: 40 + 32 + 28 + 13,
  });
});

test('`decodeNetwork()` takes options and extension headers for what they are, not for ports', () => {
  const plain = taken(v4({}, udpSegment({ destinationPort: 1234 })));
  const optioned = taken(v4({ options: new Uint8Array(40).fill(1) }, udpSegment({ destinationPort: 1234 })));
  assert.deepEqual({ ...optioned, length: 0 }, { ...plain, length: 0 });
  assert.equal(taken(chain(options(DESTINATION_OPTIONS, 255))).destinationPort, 7000);
});

test('`decodeNetwork()` gives the same answer for padded packets and for other neighbours in memory', () => {
  for (const [name, bytes] of Object.entries(WHOLE)) {
    const expected = taken(bytes);
    for (const filling of [0x00, 0xff, 0x45, 0x60]) {
      const padded = new Uint8Array(bytes.length + 22).fill(filling);
      padded.set(bytes);
      assert.deepEqual(taken(padded), expected, name);
      assert.deepEqual(taken(embedded(bytes, filling)), expected, name);
    }
  }
});

test('`decodeNetwork()` drops every truncation of a packet that loses a byte it reads, and takes all longer ones', () => {
  for (const [name, bytes] of Object.entries(WHOLE)) {
    const whole = taken(bytes);
    let everTaken = false;
    for (let length = 0; length <= bytes.length; length++) {
      const snapshot = decode(embedded(bytes.subarray(0, length), 0x45), bytes.length);
      if ('drop' in snapshot)
        assert.deepEqual([snapshot.drop, everTaken], ['truncated', false], `${name}, ${length} bytes`);
      else assert.deepEqual(snapshot, whole, `${name}, ${length} bytes`);
      everTaken ||= !('drop' in snapshot);
      // Cut on the wire, not by the snapshot: the IP header contradicts the frame.
      if (length === bytes.length) break;
      const cut = decode(bytes.subarray(0, length));
      assert.ok('drop' in cut && (cut.drop === 'truncated' || cut.drop === 'ip-header'), `${name}, ${length} bytes`);
    }
    assert.ok(everTaken);
  }
});

test('`decodeNetwork()` needs the whole fixed TCP header, but not the options behind it', () => {
  const bytes = v4({}, tcpSegment({ options: SYN_OPTIONS }));
  assertDropped('truncated', bytes.subarray(0, 39), bytes.length);
  assert.deepEqual(taken(bytes.subarray(0, 40), bytes.length), taken(bytes));
  assertDropped('truncated', v4({}, udpSegment()).subarray(0, 27), 29);
});

test('`decodeNetwork()` survives every single bit flipped and answers the same when asked again', () => {
  for (const bytes of Object.values(WHOLE)) {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = patched(bytes, bit >> 3, bytes[bit >> 3]! ^ (0x80 >> (bit & 7)));
      const answer = decode(flipped);
      assertWellFormed(answer, flipped.length);
      assert.deepEqual(decode(embedded(flipped, 0xff)), answer);
    }
  }
});

test('`decodeNetwork()` survives random bytes of either version, of any claimed length', () => {
  const bytes = fc
    .tuple(fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0x00), fc.uint8Array({ maxLength: 200 }))
    .map(([first, rest]) => Uint8Array.of(first, ...rest));
  fc.assert(
    fc.property(fc.oneof(bytes, fc.uint8Array({ maxLength: 64 })), fc.nat(70000), (input, more) => {
      const before = input.slice();
      const answer = decode(input, input.length + more);
      assertWellFormed(answer, input.length + more);
      assert.deepEqual(decode(embedded(input, 0x06), input.length + more), answer);
      assert.deepEqual(input, before);
    }),
    { numRuns: 5000 },
  );
});

test('`decodeNetwork()` reads back any built packet', () => {
  const port = fc.nat(65535);
  const host4 = fc
    .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255))
    .map((o) => o.join('.'));
  const host6 = fc.array(fc.nat(0xffff), { minLength: 7, maxLength: 7 }).map((groups) => {
    return `fd00:${groups.map((group) => group.toString(16)).join(':')}`;
  });
  const segment = fc.oneof(
    fc
      .record({ sourcePort: port, destinationPort: port, flags: fc.nat(255), sequence: fc.nat(0xffffffff) })
      .map((f) => ({
        segment: tcpSegment(f),
        expected: { protocol: 'tcp', ...f, sequence: f.sequence | 0 },
      })),
    fc.record({ sourcePort: port, destinationPort: port }).map((f) => ({
      segment: udpSegment(f),
      expected: { protocol: 'udp', ...f, flags: 0, sequence: 0 },
    })),
  );
  const extension = fc.oneof(
    fc.tuple(fc.constantFrom(DESTINATION_OPTIONS, MOBILITY), fc.nat(4)).map(([type, units]) => options(type, units)),
    fc.nat(3).map((units) => routing(4, 0, units)),
    fc.nat(4).map((words) => authentication(words * 4)),
  );
  const extensions = fc.array(extension, { maxLength: MAX_EXTENSION_HEADERS });
  const payload = fc.record({ options: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(
      segment,
      fc.oneof(
        fc.tuple(host4, host4, payload).map(([source, destination, extra]) => ({ source, destination, ...extra })),
        fc
          .tuple(host6, host6, extensions)
          .map(([source, destination, list]) => ({ source, destination, extensions: list })),
      ),
      ({ segment, expected }, fields) => {
        const bytes = fields.source.includes(':') ? ipv6Packet(fields, segment) : ipv4Packet(fields, segment);
        const { source, destination, ...rest } = taken(bytes);
        assert.deepEqual(rest, { ...expected, length: bytes.length });
        assert.equal(parsedText(source), new URL(`http://${bracketed(fields.source)}/`).hostname);
        assert.equal(parsedText(destination), new URL(`http://${bracketed(fields.destination)}/`).hostname);
      },
    ),
  );
});

const bracketed = (text: string): string => (text.includes(':') ? `[${text}]` : text);
const parsedText = (address: Packet['source']): string => bracketed(printAddress(address));

test('`decodeNetwork()` drops IP headers whose lengths contradict each other', () => {
  const bytes = v4();
  for (const version of [0, 1, 3, 5, 7, 15]) assertDropped('ip-header', patched(bytes, 0, (version << 4) | 5));
  for (const words of [0, 1, 4]) assertDropped('ip-header', patched(bytes, 0, 0x40 | words));
  assertDropped('ip-header', v4({ length: 0 }));
  assertDropped('ip-header', v4({ length: 19 }));
  assertDropped('ip-header', v4({ length: bytes.length + 1 }));
  assertDropped('ip-header', v4({ options: new Uint8Array(8), length: 27 }));
  // 60 bytes of header claimed, 40 bytes of packet there.
  assertDropped('ip-header', patched(bytes, 0, 0x4f));
  assertDropped('ip-header', v6({ length: 21 }));
  assertDropped('ip-header', v6({ length: 65535 }));
});

test('`decodeNetwork()` drops transport headers that their IP packet cannot hold, padding or not', () => {
  for (let length = 20; length < 40; length++) assertDropped('tcp-header', v4({ length }));
  for (let length = 0; length < 20; length++) assertDropped('tcp-header', v6({ length }));
  for (let length = 20; length < 28; length++) assertDropped('udp-header', v4({ length }, udpSegment()));
  for (let length = 0; length < 8; length++) assertDropped('udp-header', v6({ length }, udpSegment()));
});

test('`decodeNetwork()` blames the transport header when the IP packet really ends inside it', () => {
  const cut = (bytes: Uint8Array, ip: number, segment: number): Uint8Array => bytes.subarray(0, ip + segment);
  for (let length = 0; length < 20; length++) {
    assertDropped('tcp-header', cut(v4({ length: 20 + length }), 20, length));
    assertDropped('tcp-header', cut(v6({ length }), 40, length));
  }
  for (let length = 0; length < 8; length++) {
    assertDropped('udp-header', cut(v4({ length: 20 + length }, udpSegment()), 20, length));
    assertDropped('udp-header', cut(v6({ length }, udpSegment()), 40, length));
    assertDropped('extension', cut(v6({ length, extensions: [options(HOP_BY_HOP)] }), 40, length));
  }
  assertDropped('tcp-header', cut(v6({ length: 8, extensions: [options(HOP_BY_HOP)] }), 40, 8));
});

test('`decodeNetwork()` checks the TCP data offset against the segment', () => {
  for (let dataOffset = 0; dataOffset < 5; dataOffset++)
    assertDropped('tcp-header', v4({}, tcpSegment({ dataOffset })));
  for (let dataOffset = 6; dataOffset < 16; dataOffset++)
    assertDropped('tcp-header', v6({}, tcpSegment({ dataOffset })));
  const payload = new Uint8Array(40);
  for (let dataOffset = 5; dataOffset < 16; dataOffset++) taken(v4({}, tcpSegment({ dataOffset, payload })));
});

test('`decodeNetwork()` checks the UDP length against the IP packet', () => {
  const payload = new Uint8Array(4);
  for (const length of [0, 7, 13, 65535]) {
    assertDropped('udp-header', v4({}, udpSegment({ payload, length })));
    assertDropped('udp-header', v6({}, udpSegment({ payload, length })));
  }
  for (const length of [8, 11, 12]) taken(v4({}, udpSegment({ payload, length })));
});

test('`decodeNetwork()` drops every fragment: first, middle, last and atomic', () => {
  assertDropped('fragment', v4({ moreFragments: true }));
  assertDropped('fragment', v4({ moreFragments: true, offset: 8 }));
  assertDropped('fragment', v4({ offset: 65528 }));
  taken(v4({ dontFragment: true }));
  // The reserved bit is no fragment (RFC 3514 notwithstanding).
  taken(patched(v4(), 6, 0x80));
  for (const [offset, more] of [
    [0, true],
    [8, true],
    [65528, false],
    [0, false],
  ] as const) {
    assertDropped('fragment', chain(fragment(offset, more)));
    assertDropped('fragment', chain(options(HOP_BY_HOP), options(DESTINATION_OPTIONS), fragment(offset, more)));
  }
  assertDropped('fragment', v4({ moreFragments: true }, rawSegment(1, new Uint8Array(8))));
});

test('`decodeNetwork()` drops what is neither TCP nor UDP', () => {
  for (const protocol of [0, 1, 2, 4, 41, 43, 44, 47, 50, AUTHENTICATION, 58, 60, 132, 136, 255]) {
    assertDropped('protocol', v4({ protocol }));
  }
  for (const protocol of [1, 4, 41, 47, 50, 58, NO_NEXT_HEADER, 132, 136, 253, 255]) {
    assertDropped('protocol', v6({ protocol }));
    assertDropped('protocol', v6({ protocol, extensions: [options(DESTINATION_OPTIONS)] }));
  }
});

test('`decodeNetwork()` drops IPv4-mapped addresses on an IPv6 packet, so that no source has two names', () => {
  for (const mapped of ['::ffff:10.0.0.1', '::ffff:0.0.0.0', '::ffff:127.0.0.1']) {
    assertDropped('mapped-source', v6({ source: mapped }));
    assertDropped('mapped-source', v6({ destination: mapped }));
  }
  taken(v6({ source: '::ffff:0:10.0.0.1' }));
  taken(v6({ source: '::10.0.0.1' }));
  taken(v6({ source: '::1:0:ffff:10.0.0.1' }));
  taken(v6({ source: '64:ff9b::10.0.0.1' }));
});

test('`decodeNetwork()` drops sources that are no host, and keeps the unusual ones that are', () => {
  for (const source of ['0.0.0.0', '224.0.0.1', '239.255.255.255', '255.255.255.255'])
    assertDropped('source', v4({ source }));
  for (const source of ['::', 'ff02::1', 'ff00::', 'ffff::1']) assertDropped('source', v6({ source }));
  for (const source of ['127.0.0.1', '0.0.0.1', '223.255.255.255', '240.0.0.1', '255.255.255.254'])
    taken(v4({ source }));
  for (const source of ['::1', 'fe80::1', 'fec0::1', '::1:0:0', '0:0:1::', '0:1::']) taken(v6({ source }));
  taken(v4({ destination: '255.255.255.255' }));
  taken(v6({ destination: 'ff02::1' }));
});

test('`decodeNetwork()` follows a bounded chain of extension headers', () => {
  const links = (count: number): Uint8Array =>
    chain(...Array.from({ length: count }, () => options(DESTINATION_OPTIONS)));
  for (let count = 0; count <= MAX_EXTENSION_HEADERS; count++) assert.equal(taken(links(count)).destinationPort, 7000);
  assertDropped('extension', links(MAX_EXTENSION_HEADERS + 1));
  assertDropped('extension', links(1000));
});

test('`decodeNetwork()` drops extension headers that overrun their packet or are out of place', () => {
  assertDropped('extension', chain(options(DESTINATION_OPTIONS), options(HOP_BY_HOP)));
  assertDropped('extension', chain(options(HOP_BY_HOP), options(HOP_BY_HOP)));
  // Length byte of the one extension header, which is followed by 20 bytes of TCP.
  const one = chain(options(DESTINATION_OPTIONS));
  for (const units of [3, 4, 255]) assertDropped('extension', patched(one, 41, units));
  for (let length = 0; length < 8; length++)
    assertDropped('extension', v6({ length, extensions: [options(HOP_BY_HOP)] }));
  assertDropped(
    'extension',
    v6({ protocol: DESTINATION_OPTIONS, extensions: [options(HOP_BY_HOP)] }, rawSegment(6, new Uint8Array(4))),
  );
  // Claimed by the payload length and on the wire, but not captured.
  assertDropped('truncated', one.subarray(0, 41), one.length);
  assertDropped('truncated', one.subarray(0, 47), one.length);
});

test('`decodeNetwork()` drops packets that still have a hop to go', () => {
  for (const type of [0, 2, 3, 4, 253]) {
    taken(chain(routing(type, 0, 2)));
    assertDropped('extension', chain(routing(type, 1, 2)));
    assertDropped('extension', chain(routing(type, 255, 2)));
  }
});

test('`decodeNetwork()` allocates no new answer for a drop', () => {
  const junk = v4({ protocol: 47 });
  assert.equal(decode(junk), decode(junk));
  assert.ok(Object.isFrozen(decode(junk)));
});

test('`decodeNetwork()` takes no more time for an endless header chain than in proportion', () => {
  // Zero-length-looking headers end to end, the longest way that a packet can be made to walk.
  const packet = (count: number): Uint8Array => {
    const endless: Segment = rawSegment(
      DESTINATION_OPTIONS,
      Uint8Array.from({ length: count * 8 }, (_, at) => (at % 8 === 0 ? 60 : 0)),
    );
    return v6({}, endless);
  };
  const time = (bytes: Uint8Array): number => {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 7; round++) {
      const start = performance.now();
      for (let turn = 0; turn < 2000; turn++) decode(bytes);
      best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  const [short, long] = [packet(64), packet(8000)];
  assertDropped('extension', short);
  assertDropped('extension', long);
  time(short);
  const growth = Math.log(time(long) / time(short)) / Math.log(8000 / 64);
  assert.ok(growth <= 1.6, `time grows as n^${growth.toFixed(2)}`);
});
