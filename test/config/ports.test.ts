import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { holdsPort, mergePorts, parsePorts, parseStep, printPorts, printStep } from '../../src/config/ports.ts';
import type { PortRange } from '../../src/core/policy.ts';

const range: fc.Arbitrary<PortRange> = fc
  .record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    first: fc.integer({ min: 1, max: 65535 }),
    length: fc.nat({ max: 300 }),
  })
  .map(({ protocol, first, length }) => ({ protocol, first, last: Math.min(65535, first + length) }));

describe('parsePorts()', () => {
  test('reads one port and ranges', () => {
    assert.deepEqual(parsePorts('tcp/22'), { value: { protocol: 'tcp', first: 22, last: 22 } });
    assert.deepEqual(parsePorts('udp/51820'), { value: { protocol: 'udp', first: 51820, last: 51820 } });
    assert.deepEqual(parsePorts('tcp/8000-8010'), { value: { protocol: 'tcp', first: 8000, last: 8010 } });
  });

  for (const [text, message, hint] of [
    ['22', 'Cannot read the ports "22"', 'Write "tcp/22", or "udp" in place of "tcp"'],
    ['22/tcp', 'Cannot read the ports "22/tcp"', 'Write "tcp/22"'],
    ['TCP/22', 'Cannot read the ports "TCP/22"', 'Write "tcp/22"'],
    ['53:udp', 'Cannot read the ports "53:udp"', 'Write "udp/53"'],
    ['tcp/8000:8010', 'Cannot read the ports "tcp/8000:8010"', 'Write "tcp/8000-8010"'],
    ['tcp/9-1', 'Cannot read the ports "tcp/9-1": the range runs backwards', 'Write "tcp/1-9"'],
    ['tcp/70000', 'Cannot read the ports "tcp/70000": the highest port is 65535', 'Write ports from 1 to 65535'],
    ['tcp/0', 'Cannot read the ports "tcp/0"', 'Write ports from 1 to 65535'],
    ['ssh', 'Cannot read the ports "ssh"', 'Write the number, such as "tcp/22": service names are not looked up'],
    ['sctp/1', 'Cannot read the ports "sctp/1"', 'Write "tcp/" or "udp/" and a port, such as "tcp/22"'],
    ['', 'Cannot read the ports ""', 'Write "tcp/" or "udp/" and a port, such as "tcp/22"'],
  ] as const) {
    test(`refuses "${text}" with a way out`, () => assert.deepEqual(parsePorts(text), { message, hint }));
  }

  test('reads what printPorts() prints', () => {
    fc.assert(fc.property(range, (ports) => assert.deepEqual(parsePorts(printPorts(ports)), { value: ports })));
  });
});

describe('parseStep()', () => {
  test('reads what printStep() prints', () => {
    const step = { protocol: 'udp', port: 8000 } as const;
    assert.equal(printStep(step), 'udp/8000');
    assert.deepEqual(parseStep('udp/8000'), { value: step });
  });

  for (const [text, message, hint] of [
    ['7000', 'Cannot read the step "7000"', 'Write "tcp/7000", or "udp" in place of "tcp"'],
    ['8000:udp', 'Cannot read the step "8000:udp"', 'Write "udp/8000"'],
    ['tcp/7000-7010', 'Cannot read the step "tcp/7000-7010": a step is one port', 'Write "tcp/7000"'],
    [
      'icmp/echo:67',
      'Cannot read the step "icmp/echo:67": only TCP and UDP packets can be steps',
      'Write "tcp/" or "udp/" and a port',
    ],
    ['tcp/65536', 'Cannot read the step "tcp/65536": the highest port is 65535', 'Write a port from 1 to 65535'],
  ] as const) {
    test(`refuses "${text}" with a way out`, () => assert.deepEqual(parseStep(text), { message, hint }));
  }

  test('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'tcpud/-:0129 x\n') }), (text) => {
        parseStep(text);
        parsePorts(text);
      }),
    );
  });
});

describe('mergePorts()', () => {
  test('holds the same ports in ranges that do not touch', () => {
    const probes = fc.array(
      fc.record({ protocol: fc.constantFrom('tcp' as const, 'udp' as const), port: fc.nat(66000) }),
    );
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), probes, (ranges, ports) => {
        const merged = mergePorts(ranges);
        const edges = ranges.flatMap(({ protocol, first, last }) =>
          [first - 1, first, last, last + 1].map((port) => ({ protocol, port })),
        );
        for (const probe of [...ports, ...edges]) assert.equal(holdsPort(merged, probe), holdsPort(ranges, probe));
        for (const [i, { protocol, last }] of merged.entries()) {
          const next = merged[i + 1];
          if (next?.protocol === protocol) assert.ok(next.first > last + 1);
        }
      }),
    );
  });
});
