/**
 * Capture filters and packets for them, for property tests; and the rules of the filter written once more, naively, to
 * compare with. Packets aim at the filter's own values: its ports and addresses, their neighbours, headers cut short.
 */

import fc from 'fast-check';
import { type Address, family, parseAddress, sameAddress } from '../../src/core/address.ts';
import type { CaptureFilterInput, Relaxation } from '../../src/core/capture-filter.ts';
import { type Door, fitsFlags, isBareSyn, isUnconnected, type Protocol } from '../../src/core/door.ts';
import type { PortRange } from '../../src/core/policy.ts';

/** A packet as the filter meets it: the ethertype and the bytes from the network header on. */
export interface FilterPacket {
  readonly protocol: number;
  readonly bytes: Uint8Array;
}

const port = fc.oneof(
  fc.constantFrom(0, 1, 22, 80, 443, 7000, 7001, 8000, 9000, 65534, 65535),
  fc.integer({ min: 0, max: 65535 }),
);

const address = fc.oneof(
  fc
    .constantFrom('10.0.0.1', '10.0.0.2', '192.168.1.1', '255.255.255.254', '2001:db8::1', '2001:db8::2', 'fe80::1')
    .map((text) => parseAddress(text)!),
  fc.integer().map((d): Address => ({ a: 0, b: 0, c: 0xffff, d })),
  fc
    .tuple(fc.constantFrom(0x20010db8, -1, 1), fc.integer(), fc.constantFrom(0, 1), fc.integer())
    .map(([a, b, c, d]): Address => ({ a, b, c, d })),
);

const flagBits = fc.oneof(fc.constantFrom(0x00, 0x02, 0x10, 0x12, 0x17, 0x15), fc.integer({ min: 0, max: 63 }));

const door: fc.Arbitrary<Door> = fc
  .record({
    steps: fc.array(fc.record({ protocol: fc.constantFrom<Protocol>('tcp', 'tcp', 'udp'), port }), {
      minLength: 1,
      maxLength: 6,
    }),
    set: flagBits,
    clear: flagBits,
    disjoint: fc.boolean(),
    target: fc.option(address, { nil: undefined }),
  })
  .map(({ steps, set, clear, disjoint, target }) => ({
    name: 'door',
    steps,
    window: 5000,
    strays: 2,
    tcpFlags: { set, clear: disjoint ? clear & ~set : clear },
    ...(target && { target }),
  }));

/** Anything a filter can be built from, from nothing at all to hundreds of ports and addresses. */
export const filterInputs: fc.Arbitrary<CaptureFilterInput> = fc
  .record({
    doors: fc.oneof(fc.array(door, { maxLength: 4 }), fc.array(door, { minLength: 10, maxLength: 60 })),
    addresses: fc.oneof(
      fc.constant('any' as const),
      fc.array(address, { maxLength: 4 }),
      fc.array(address, { minLength: 10, maxLength: 80 }),
    ),
    publicPorts: fc.record({
      tcp: fc.oneof(fc.array(port, { maxLength: 12 }), fc.array(port, { minLength: 100, maxLength: 500 }), portRuns()),
    }),
    watched: fc.oneof(fc.constant(undefined), fc.array(watchedRange(), { maxLength: 4 })),
    ipv6: fc.constantFrom(true, true, true, false),
  })
  .map(({ watched, ...rest }) => (watched === undefined ? rest : { ...rest, watched }));

function watchedRange(): fc.Arbitrary<PortRange> {
  return fc
    .record({ protocol: fc.constantFrom<Protocol>('tcp', 'udp'), first: port, length: fc.nat(20) })
    .map(({ protocol, first, length }) => ({ protocol, first, last: Math.min(65_535, first + length) }));
}

function portRuns(): fc.Arbitrary<number[]> {
  const run = fc.tuple(fc.integer({ min: 0, max: 65000 }), fc.integer({ min: 1, max: 300 }));
  return fc
    .array(run, { maxLength: 8 })
    .map((runs) => runs.flatMap(([first, length]) => Array.from({ length }, (_, index) => first + index)));
}

/** Packets that try this filter; at most 200 bytes each. */
export function packetsFor(input: CaptureFilterInput): fc.Arbitrary<FilterPacket> {
  const known = [
    ...(input.addresses === 'any' ? [] : input.addresses),
    ...input.doors.flatMap(({ target }) => target ?? []),
  ];
  const destination =
    known.length === 0
      ? address
      : fc.oneof(
          { weight: 6, arbitrary: fc.constantFrom(...known) },
          { weight: 1, arbitrary: address },
          {
            weight: 1,
            arbitrary: fc
              .tuple(fc.constantFrom(...known), fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 31 }))
              .map(([from, word, bit]) => ({ ...from, [word]: from[word] ^ (1 << bit) })),
          },
        );
  const steps = input.doors.flatMap((each) => each.steps.map((step) => step.port));
  const edges = (input.watched ?? []).flatMap(({ first, last }) => [first, last]);
  const ports = [...input.publicPorts.tcp, ...steps, ...edges];
  const destinationPort =
    ports.length === 0
      ? port
      : fc.oneof(
          { weight: 4, arbitrary: fc.constantFrom(...(steps.length > 0 ? steps : ports)) },
          { weight: 2, arbitrary: fc.constantFrom(...ports) },
          {
            weight: 2,
            arbitrary: fc
              .tuple(fc.constantFrom(...ports), fc.constantFrom(-1, 1))
              .map(([near, by]) => (near + by) & 0xffff),
          },
          { weight: 1, arbitrary: port },
        );
  return fc
    .record({
      destination,
      destinationPort,
      transport: fc.oneof(
        { weight: 5, arbitrary: fc.constant(6) },
        { weight: 3, arbitrary: fc.constant(17) },
        { weight: 1, arbitrary: fc.constantFrom(0, 1, 41, 43, 44, 50, 51, 58, 59, 60, 135, 139, 140, 255) },
      ),
      flags: fc.oneof(
        fc.constantFrom(0x02, 0xc2),
        fc.constantFrom(0x00, 0x10, 0x12, 0x14, 0x04, 0x11),
        fc.integer({ min: 0, max: 255 }),
      ),
      headerWords: fc.oneof(
        { weight: 6, arbitrary: fc.constant(5) },
        { weight: 2, arbitrary: fc.integer({ min: 6, max: 15 }) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 4 }) },
      ),
      fragment: fc.oneof(
        { weight: 8, arbitrary: fc.constantFrom(0, 0x4000) },
        { weight: 1, arbitrary: fc.constantFrom(0x2000, 0x2001, 1, 0x1fff, 0x8000, 0xffff) },
      ),
      tags: fc.oneof(
        { weight: 6, arbitrary: fc.constant([]) },
        { weight: 2, arbitrary: fc.array(fc.constantFrom(0x8100, 0x88a8, 0x9100), { minLength: 1, maxLength: 3 }) },
      ),
      ethertype: fc.oneof(
        { weight: 20, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: fc.constantFrom(0x0806, 0x88cc, 0x0800, 0x86dd, 0x8864) },
      ),
      filling: fc.uint8Array({ minLength: 120, maxLength: 120 }),
      cut: fc.oneof(
        { weight: 8, arbitrary: fc.constant(1000) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 90 }) },
      ),
      flip: fc.option(fc.tuple(fc.integer({ min: 0, max: 80 }), fc.integer({ min: 0, max: 7 })), { freq: 12 }),
    })
    .map((fields) => {
      const v4 = family(fields.destination) === 4;
      const header = v4 ? fields.headerWords * 4 : 40;
      const ip = new Uint8Array(fields.filling);
      const view = new DataView(ip.buffer);
      // The transport header first: an impossibly short IPv4 header then overlaps it, and the IP header wins.
      view.setUint16(header + 2, fields.destinationPort);
      view.setUint8(header + 13, fields.flags);
      if (v4) {
        view.setUint8(0, 0x40 | fields.headerWords);
        view.setUint16(6, fields.fragment);
        view.setUint8(9, fields.transport);
        view.setInt32(16, fields.destination.d);
      } else {
        const { a, b, c, d } = fields.destination;
        view.setUint8(0, 0x60);
        view.setUint8(6, fields.transport);
        for (const [index, word] of [a, b, c, d].entries()) view.setInt32(24 + index * 4, word);
      }
      const ethertypes = [...fields.tags, fields.ethertype ?? (v4 ? 0x0800 : 0x86dd)];
      const bytes = new Uint8Array(fields.tags.length * 4 + ip.length);
      const whole = new DataView(bytes.buffer);
      for (const index of fields.tags.keys()) whole.setUint32(index * 4, 0x60050000 | ethertypes[index + 1]!);
      bytes.set(ip, fields.tags.length * 4);
      if (fields.flip) bytes[fields.flip[0]]! ^= 1 << fields.flip[1];
      return { protocol: ethertypes[0]!, bytes: bytes.subarray(0, fields.cut) };
    });
}

const TAGS = [0x8100, 0x88a8, 0x9100];
const EXTENSIONS = [0, 43, 44, 51, 60, 135, 139, 140];

class OutOfBounds extends Error {}

/** The filter's rules, one after the other, as the header of capture-filter.ts has them. */
export function shouldPass(
  input: CaptureFilterInput,
  packet: FilterPacket,
  relaxed: readonly Relaxation[] = [],
): boolean {
  try {
    return judge(input, packet, relaxed);
  } catch (error) {
    if (error instanceof OutOfBounds) return false;
    throw error;
  }
}

function judge(input: CaptureFilterInput, packet: FilterPacket, relaxed: readonly Relaxation[]): boolean {
  const { doors, addresses } = input;
  const byte = (offset: number): number => {
    const value = packet.bytes[offset];
    if (value === undefined) throw new OutOfBounds();
    return value;
  };
  const word16 = (offset: number): number => byte(offset) * 256 + byte(offset + 1);
  const word32 = (offset: number): number => (word16(offset) << 16) | word16(offset + 2);

  let ethertype = packet.protocol;
  let start = 0;
  while (TAGS.includes(ethertype) && start < 8) {
    ethertype = word16(start + 2);
    start += 4;
  }

  const destinations = addresses === 'any' ? [] : [...addresses, ...doors.flatMap(({ target }) => target ?? [])];
  const counts = (version: 4 | 6, destination: () => Address): boolean => {
    if (addresses === 'any') return true;
    const candidates = destinations.filter((candidate) => family(candidate) === version);
    if (relaxed.includes('addresses')) return candidates.length > 0;
    return candidates.some((candidate) => sameAddress(candidate, destination()));
  };

  let transport: number;
  let at: number;
  if (ethertype === 0x0800) {
    if (!counts(4, () => ({ a: 0, b: 0, c: 0xffff, d: word32(start + 16) }))) return false;
    if ((word16(start + 6) & 0x1fff) !== 0) return false;
    transport = byte(start + 9);
    at = start + (byte(start) & 15) * 4;
  } else if (ethertype === 0x86dd && input.ipv6) {
    const word = (index: number): number => word32(start + 24 + 4 * index);
    if (!counts(6, () => ({ a: word(0), b: word(1), c: word(2), d: word(3) }))) return false;
    transport = byte(start + 6);
    at = start + 40;
    if (EXTENSIONS.includes(transport)) return true;
  } else {
    return false;
  }

  const isStep = (protocol: Protocol, number: number): boolean =>
    doors.some(({ steps }) => steps.some((step) => step.protocol === protocol && step.port === number));
  const isWatched = (protocol: Protocol, number: number): boolean =>
    (input.watched ?? []).some((range) => range.protocol === protocol && range.first <= number && number <= range.last);
  if (transport === 17) {
    const wanted = [...doors.flatMap(({ steps }) => steps), ...(input.watched ?? [])];
    if (!wanted.some(({ protocol }) => protocol === 'udp')) return false;
    const number = word16(at + 2);
    return relaxed.includes('ports') || isStep('udp', number) || isWatched('udp', number);
  }
  if (transport !== 6) return false;
  const flags = byte(at + 13);
  const number = word16(at + 2);
  if (input.watched ? isUnconnected(flags) : isBareSyn(flags)) {
    const isPublic = !relaxed.includes('public ports') && input.publicPorts.tcp.includes(number);
    return !isPublic || isStep('tcp', number) || isWatched('tcp', number);
  }
  if (relaxed.includes('ports')) return true;
  return doors.some(
    ({ steps, tcpFlags }) =>
      steps.some((step) => step.protocol === 'tcp' && step.port === number) &&
      (relaxed.includes('flags') || fitsFlags(tcpFlags, flags)),
  );
}
