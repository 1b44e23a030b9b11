import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseServices } from '../../src/client/services.ts';
import { parseStep } from '../../src/client/step.ts';

const services = () => parseServices('http 80/tcp\ndomain 53/tcp\ndomain 53/udp\n');

const CASES: readonly (readonly [string, number, 'tcp' | 'udp', string | undefined])[] = [
  ['7000', 7000, 'tcp', undefined],
  ['7000:tcp', 7000, 'tcp', undefined],
  ['7000:TCP', 7000, 'tcp', undefined],
  ['7000:udp', 7000, 'udp', undefined],
  ['7000:UDP', 7000, 'udp', undefined],
  ['7000:foo', 7000, 'tcp', 'foo'],
  ['7000:', 7000, 'tcp', ''],
  ['7000:udp:tcp', 7000, 'tcp', 'udp:tcp'],
  ['http', 80, 'tcp', undefined],
  ['domain:udp', 53, 'udp', undefined],
  ['07000', 7000, 'tcp', undefined],
  ['+1', 1, 'tcp', undefined],
  [' 65535', 65535, 'tcp', undefined],
];

for (const [text, port, protocol, unknownProtocol] of CASES) {
  test(`parseStep() reads "${text}" as ${port}/${protocol}`, () => {
    const name = text.split(':')[0] ?? '';
    assert.deepEqual(parseStep(text, services), { step: { name, protocol, port }, unknownProtocol });
  });
}

test('parseStep() hits UDP whatever the notation says when everything is to be UDP', () => {
  for (const text of ['53', '53:tcp', '53:foo', '53:udp']) {
    assert.deepEqual(parseStep(text, services, true), {
      step: { name: '53', protocol: 'udp', port: 53 },
      unknownProtocol: undefined,
    });
  }
});

test('parseStep() refuses what is no port', () => {
  for (const name of ['0', '65536', '70000', '99999999999', '']) {
    assert.deepEqual(parseStep(`${name}:udp`, services), { problem: 'out-of-range', name });
  }
  for (const name of ['abc', '7000-7002', '-1', '0x10', '7e3', '1.5', 'HTTP']) {
    assert.deepEqual(parseStep(name, services), { problem: 'no-such-service', name });
  }
});

test('parseStep() only ever yields ports from 1 to 65535', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.integer().map(String)), (text) => {
      const parsed = parseStep(text, services);
      if ('step' in parsed)
        assert.ok(Number.isInteger(parsed.step.port) && parsed.step.port >= 1 && parsed.step.port <= 65535);
    }),
  );
});
