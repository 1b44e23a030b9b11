/** Link layers: every supported one in front of the same packets, tags to the bound and beyond, and what is not IP. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeNetwork } from '../../src/core/decode.ts';
import { decodeCooked, decodeFrame, LINK_TYPES, linkType, MAX_TAGS } from '../../src/core/link.ts';
import { assertWellFormed, embedded } from '../support/decoded.ts';
import {
  cookedV1,
  cookedV2,
  ethernet,
  etherTypeOf,
  ipv4Packet,
  ipv6Packet,
  loopback,
  options,
  patched,
  type Tag,
  tcpSegment,
  udpSegment,
} from '../support/packet-builder.ts';

const SYN4 = ipv4Packet({ source: '192.0.2.7', destination: '198.51.100.1' }, tcpSegment());
const UDP6 = ipv6Packet(
  { source: '2001:db8::7', destination: 'fd77::1', extensions: [options(0)] },
  udpSegment({ payload: new Uint8Array(0) }),
);
const PACKETS = [SYN4, UDP6];

const TAG_STACKS: readonly (readonly Tag[])[] = [
  [],
  [{ vlan: 0 }],
  [{ vlan: 0xefff }],
  [{ type: 0x88a8, vlan: 5 }, { vlan: 6 }],
  [{ type: 0x9100, vlan: 5 }, { vlan: 0x0800 }],
  [{ type: 0x9100, vlan: 1 }, { type: 0x88a8, vlan: 2 }, { vlan: 3 }, { vlan: 4 }],
];
const TOO_MANY: readonly Tag[] = Array.from({ length: MAX_TAGS + 1 }, (_, vlan) => ({ vlan }));

/** Every way to frame a packet: name, link type, frame. */
function framings(packet: Uint8Array): [string, number, Uint8Array][] {
  const six = etherTypeOf(packet) === 0x86dd;
  const families = six ? [10, 24, 28, 30] : [2];
  return [
    ...TAG_STACKS.flatMap((tags): [string, number, Uint8Array][] => [
      [`Ethernet, ${tags.length} tags`, 1, ethernet(packet, { tags })],
      [`padded Ethernet, ${tags.length} tags`, 1, ethernet(packet, { tags, padded: true })],
      [`cooked v1, ${tags.length} tags`, 113, cookedV1(packet, tags)],
      [`cooked v2, ${tags.length} tags`, 276, cookedV2(packet, tags)],
    ]),
    ...[12, 14, 101, six ? 229 : 228].map((raw): [string, number, Uint8Array] => [`raw ${raw}`, raw, packet]),
    ...families.flatMap((family): [string, number, Uint8Array][] => [
      [`loopback, family ${family}`, 108, loopback(packet, family, true)],
      [`null, big-endian family ${family}`, 0, loopback(packet, family, true)],
      [`null, little-endian family ${family}`, 0, loopback(packet, family, false)],
    ]),
  ];
}

test('`decodeFrame()` finds the same packet behind every link layer', () => {
  for (const packet of PACKETS) {
    const expected = decodeNetwork(packet, packet.length);
    assert.ok(!('drop' in expected));
    for (const [name, type, frame] of framings(packet)) {
      assert.deepEqual(decodeFrame(type, frame, frame.length), expected, name);
    }
  }
});

test('`decodeFrame()` drops every truncation of a frame, by the snapshot as well as on the wire', () => {
  for (const packet of PACKETS) {
    for (const [name, type, frame] of framings(packet)) {
      if (name.startsWith('padded')) continue;
      for (let length = 0; length < frame.length; length++) {
        const short = embedded(frame.subarray(0, length), 0x08);
        assert.deepEqual(decodeFrame(type, short, frame.length), { drop: 'truncated' }, `${name}, ${length} bytes`);
        const cut = decodeFrame(type, short, length);
        assert.ok('drop' in cut && ['truncated', 'ip-header'].includes(cut.drop), `${name}, ${length} bytes`);
      }
    }
  }
});

test('`decodeFrame()` survives every single bit flipped', () => {
  for (const packet of PACKETS) {
    for (const [, type, frame] of framings(packet)) {
      for (let bit = 0; bit < frame.length * 8; bit++) {
        const flipped = patched(frame, bit >> 3, frame[bit >> 3]! ^ (0x80 >> (bit & 7)));
        const answer = decodeFrame(type, flipped, flipped.length);
        assertWellFormed(answer, flipped.length);
        assert.deepEqual(decodeFrame(type, embedded(flipped, 0xff), flipped.length), answer);
      }
    }
  }
});

test('`decodeFrame()` and `decodeCooked()` survive random bytes on any link type and ethertype', () => {
  const type = fc.oneof(fc.constantFrom(...LINK_TYPES.map(({ number }) => number)), fc.integer());
  const etherType = fc.oneof(fc.constantFrom(0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100), fc.nat(0xffff));
  const input = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc
      .tuple(fc.constantFrom(...framings(SYN4), ...framings(UDP6)), fc.nat(200), fc.nat(255))
      .map(([[, , frame], at, value]) => patched(frame, at % frame.length, value)),
  );
  fc.assert(
    fc.property(type, etherType, input, fc.nat(2000), (link, ethernetType, bytes, more) => {
      const wireLength = bytes.length + more;
      assertWellFormed(decodeFrame(link, bytes, wireLength), wireLength);
      assertWellFormed(decodeCooked(ethernetType, bytes, wireLength), wireLength);
    }),
    { numRuns: 3000 },
  );
});

test('`decodeCooked()` takes the ethertype from the kernel and the other halves of tags from the bytes', () => {
  for (const packet of PACKETS) {
    const expected = decodeNetwork(packet, packet.length);
    for (const tags of TAG_STACKS) {
      const frame = ethernet(packet, { tags });
      const etherType = (frame[12]! << 8) | frame[13]!;
      const bytes = frame.subarray(14);
      assert.deepEqual(decodeCooked(etherType, bytes, bytes.length), expected);
    }
  }
});

test('`decodeFrame()` follows a bounded stack of tags', () => {
  assert.deepEqual(decodeFrame(1, ethernet(SYN4, { tags: TOO_MANY }), 200), { drop: 'link-type' });
  assert.deepEqual(decodeFrame(113, cookedV1(SYN4, TOO_MANY), 200), { drop: 'link-type' });
  const endless = new Uint8Array(60000).map((_, at) => (at % 4 === 0 ? 0x81 : 0));
  assert.deepEqual(decodeCooked(0x8100, endless, endless.length), { drop: 'link-type' });
});

test('`decodeFrame()` counts all that stands in front of the IP header when it checks lengths', () => {
  for (const packet of PACKETS) {
    for (const [name, type, frame] of framings(packet)) {
      if (name.startsWith('padded')) continue;
      assert.deepEqual(decodeFrame(type, frame, frame.length - 1), { drop: 'ip-header' }, name);
    }
  }
});

test('`decodeFrame()` drops what is not IP', () => {
  // ARP, RARP, LLDP, EAPOL, PPPoE, MPLS, an 802.3 length, nothing at all.
  for (const etherType of [0x0806, 0x8035, 0x88cc, 0x888e, 0x8864, 0x8847, 0x0026, 0, 0xffff]) {
    assert.deepEqual(decodeFrame(1, ethernet(SYN4, { etherType }), 100), { drop: 'link-type' });
    assert.deepEqual(decodeFrame(1, ethernet(SYN4, { etherType, tags: [{ vlan: 1 }] }), 100), { drop: 'link-type' });
    assert.deepEqual(decodeCooked(etherType, SYN4, 100), { drop: 'link-type' });
  }
  for (const family of [0, 1, 3, 18, 255, 0x0202]) {
    assert.deepEqual(decodeFrame(0, loopback(SYN4, family, true), 100), { drop: 'link-type' });
    assert.deepEqual(decodeFrame(108, loopback(SYN4, family, false), 100), { drop: 'link-type' });
  }
  assert.deepEqual(decodeFrame(0, patched(loopback(SYN4, 2, false), 3, 2), 100), { drop: 'link-type' });
});

test('`decodeFrame()` drops an IP version that is not what the link layer says', () => {
  assert.deepEqual(decodeFrame(1, ethernet(SYN4, { etherType: 0x86dd }), 100), { drop: 'ip-header' });
  assert.deepEqual(decodeFrame(1, ethernet(UDP6, { etherType: 0x0800 }), 100), { drop: 'ip-header' });
  assert.deepEqual(decodeFrame(228, UDP6, 100), { drop: 'ip-header' });
  assert.deepEqual(decodeFrame(229, SYN4, 100), { drop: 'ip-header' });
  assert.deepEqual(decodeFrame(108, loopback(SYN4, 30, true), 100), { drop: 'ip-header' });
  assert.deepEqual(decodeCooked(0x86dd, SYN4, 100), { drop: 'ip-header' });
});

test('`decodeFrame()` drops frames of unknown link types', () => {
  for (const unknown of [-1, 2, 9, 50, 105, 127, 147, 1.5, Number.NaN]) {
    assert.deepEqual(decodeFrame(unknown, SYN4, SYN4.length), { drop: 'link-type' });
    assert.equal(linkType(unknown), undefined);
  }
});

test('`LINK_TYPES` names exactly the link types that are decoded, with the length of their headers', () => {
  const framed = new Set<number>();
  for (const packet of PACKETS) {
    for (const [name, type, frame] of framings(packet)) {
      framed.add(type);
      if (name.startsWith('padded') || /[1-9] tags/.test(name)) continue;
      assert.equal(linkType(type)?.headerLength, frame.length - packet.length, name);
    }
  }
  assert.deepEqual(
    LINK_TYPES.map(({ number }) => number),
    [...framed].sort((x, y) => x - y),
  );
});
