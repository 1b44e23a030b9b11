/** What the watcher says is strangers' bytes to the keeper: only exact reports pass, whatever is done to the line. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeOrder,
  decodeReport,
  encodeOrder,
  encodeReport,
  LONGEST_REPORT,
  type Report,
} from '../../src/core/messages.ts';
import { address, door } from '../support/knocks.ts';

const FOUR = address('198.51.100.2');
const SIX = address('2001:db8::1');

const REPORTS: readonly Report[] = [
  { type: 'ready', confinement: { landlock: 7, seccomp: true, uid: 65534, notes: ['The kernel offers no Landlock'] } },
  { type: 'ready', confinement: { landlock: undefined, seccomp: false, uid: 0, notes: [] } },
  { type: 'knock', revision: 3, event: { type: 'advanced', door: 0, source: FOUR, stage: 1 } },
  { type: 'knock', revision: 3, event: { type: 'opened', door: 12, source: SIX } },
  { type: 'knock', revision: 0, event: { type: 'expired', door: 1, source: FOUR, stage: 31 } },
  { type: 'knock', revision: 1, event: { type: 'failed', door: 1, source: SIX, stage: 2, reason: 'strays' } },
  { type: 'packet', time: 1.5e12, protocol: 'tcp', from: '10.0.0.1:1024', to: '10.0.0.2:22', length: 74 },
  { type: 'packet', time: 0, protocol: 'udp', from: 'fd77::2:1', to: 'fd77::1:65535', length: 0 },
  {
    type: 'counts',
    counts: { received: 5, lost: 0, drops: { fragment: 2 }, suppressed: 0, attempts: 1, sighted: 9, strangers: 4 },
  },
  {
    type: 'sighted',
    sighting: {
      source: SIX,
      traps: 1,
      closed: 0,
      unused: 2,
      ports: [
        { protocol: 'tcp', port: 23 },
        { protocol: 'udp', port: 0 },
      ],
      distinct: 2,
    },
  },
  { type: 'sighted', sighting: { source: FOUR, traps: 0, closed: 0, unused: 0, ports: [], distinct: 0 } },
  { type: 'alive', number: 3 },
  { type: 'ended' },
  { type: 'failed', reason: 'recvfrom: Network is down' },
];

/** A line that was read is exactly one of the reports: encoded again it says the same. */
function assertExact(line: string): void {
  const report = decodeReport(line);
  if (report === undefined) return;
  const again = decodeReport(encodeReport(report).trimEnd());
  assert.deepEqual(again, report);
  // Whatever order the keys came in, there was nothing else in the line.
  const count = (text: string): number => [...text.matchAll(/":/g)].length;
  assert.ok(count(encodeReport(report)) <= count(line) + 1, line);
}

test('`decodeReport()` reads what `encodeReport()` writes', () => {
  for (const report of REPORTS) assert.deepEqual(decodeReport(encodeReport(report).trimEnd()), report);
});

test('`decodeReport()` refuses every truncation', () => {
  for (const report of REPORTS) {
    const line = encodeReport(report).trimEnd();
    for (let length = 0; length < line.length; length += 1)
      assert.equal(decodeReport(line.slice(0, length)), undefined);
  }
});

test('`decodeReport()` survives every bit flip, and reads exact reports or nothing', () => {
  for (const report of REPORTS) {
    const bytes = new TextEncoder().encode(encodeReport(report).trimEnd());
    for (let at = 0; at < bytes.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const flipped = bytes.slice();
        flipped[at]! ^= 1 << bit;
        assertExact(new TextDecoder().decode(flipped));
      }
    }
  }
});

test('`decodeReport()` refuses a report with anything missing, added or of another kind', () => {
  const strange = [undefined, null, true, -1, 0.5, 2 ** 60, '', 'x\u001b[2J', '\n', [], {}, [1], { a: 1 }];
  for (const report of REPORTS) {
    const plain = JSON.parse(encodeReport(report)) as Record<string, unknown>;
    assert.equal(decodeReport(JSON.stringify({ ...plain, more: 1 })), undefined);
    assert.equal(decodeReport(JSON.stringify([plain])), undefined);
    for (const key of Object.keys(plain)) {
      const { [key]: _, ...rest } = plain;
      assert.equal(decodeReport(JSON.stringify(rest)), undefined, `${report.type} without ${key}`);
      for (const value of strange) assertExact(JSON.stringify({ ...plain, [key]: value }));
      const inner = plain[key];
      if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) continue;
      assert.equal(decodeReport(JSON.stringify({ ...plain, [key]: { ...inner, more: 1 } })), undefined);
      for (const value of strange) {
        for (const name of Object.keys(inner))
          assertExact(JSON.stringify({ ...plain, [key]: { ...inner, [name]: value } }));
      }
    }
  }
});

/** The value itself, and all that is in it, each with what makes another report of it. */
function* places(value: unknown, put: (other: unknown) => unknown): Generator<readonly [unknown, typeof put]> {
  yield [value, put];
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const within = (other: unknown): unknown =>
      put(Array.isArray(value) ? value.with(Number(key), other) : { ...value, [key]: other });
    yield* places(inner, within);
  }
}

test('`decodeReport()` looks at every field by itself', () => {
  const wrong = {
    number: [-1, 0.5, 2 ** 60, '1', null, true, [], {}],
    string: ['\u001b[2J', 'x'.repeat(501), '\u00e9', 7, null, true, [], {}],
    boolean: [0, 1, 'true', null, [], {}],
    object: [7, 'x', true, null, [[]], [null]],
  } as const;
  for (const report of REPORTS) {
    for (const [value, put] of places(JSON.parse(encodeReport(report)), (other) => other)) {
      for (const other of wrong[typeof value as keyof typeof wrong]) {
        // A time is any number.
        if (report.type === 'packet' && value === report.time && typeof other === 'number') continue;
        const line = JSON.stringify(put(other));
        assert.equal(decodeReport(line), undefined, line);
      }
    }
  }
});

test('`decodeReport()` takes stages from 1 to 32, and lines of up to 2,048 characters', () => {
  const line = (stage: number): string =>
    JSON.stringify({ type: 'knock', revision: 1, event: { type: 'advanced', door: 0, source: '10.0.0.1', stage } });
  assert.deepEqual(
    [0, 1, 32, 33].map((stage) => decodeReport(line(stage)) !== undefined),
    [false, true, true, false],
  );
  const padded = (length: number): string => '{"type":"ended"}'.padEnd(length);
  assert.deepEqual(decodeReport(padded(2048)), { type: 'ended' });
  assert.equal(decodeReport(padded(2049)), undefined);
});

test('`decodeReport()` refuses what could do harm in a log, a table or a shell', () => {
  const refused: readonly unknown[] = [
    { type: 'failed', reason: 'x'.repeat(501) },
    { type: 'failed', reason: '\u001b[31mred' },
    { type: 'failed', reason: 'two\nlines' },
    { type: 'knock', revision: 1, event: { type: 'opened', door: 0, source: '10.0.0.1; reboot' } },
    { type: 'knock', revision: 1, event: { type: 'opened', door: 0, source: '10.0.0.01' } },
    { type: 'knock', revision: 1, event: { type: 'opened', door: -1, source: '10.0.0.1' } },
    { type: 'knock', revision: 1, event: { type: 'opened', door: '0', source: '10.0.0.1' } },
    { type: 'knock', revision: 1, event: { type: 'advanced', door: 0, source: '10.0.0.1', stage: 33 } },
    { type: 'knock', revision: 1, event: { type: 'advanced', door: 0, source: '10.0.0.1', stage: 0 } },
    { type: 'knock', revision: 1, event: { type: 'failed', door: 0, source: '10.0.0.1', stage: 1, reason: 'else' } },
    { type: 'packet', time: 1, protocol: 'icmp', from: '1.1.1.1:1', to: '1.1.1.1:1', length: 1 },
    { type: 'packet', time: 1, protocol: 'tcp', from: '$(reboot):1', to: '1.1.1.1:1', length: 1 },
    { type: 'counts', counts: { received: 1, lost: 1, drops: { invented: 1 }, suppressed: 0, attempts: 0 } },
    { type: 'ready', confinement: { landlock: 7, seccomp: true, uid: 0, notes: Array(21).fill('x') } },
    { type: 'open', door: 0 },
    { type: '__proto__' },
  ];
  for (const value of refused) assert.equal(decodeReport(JSON.stringify(value)), undefined, JSON.stringify(value));
  assert.equal(decodeReport('{"type":"ended","__proto__":{"x":1}}'), undefined);
  const long = JSON.stringify({ type: 'failed', reason: 'x' }).padEnd(LONGEST_REPORT + 1);
  assert.equal(decodeReport(long), undefined);
  assert.notEqual(decodeReport(long.slice(0, LONGEST_REPORT)), undefined);
});

test('`decodeReport()` never throws, on any text and any JSON', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), assertExact));
  fc.assert(fc.property(fc.json({ maxDepth: 4 }), assertExact));
  const nearly = fc.record({
    type: fc.constantFrom('ready', 'knock', 'packet', 'counts', 'ended', 'failed'),
    revision: fc.anything(),
    event: fc.anything(),
    confinement: fc.anything(),
    counts: fc.anything(),
    reason: fc.anything(),
  });
  fc.assert(
    fc.property(nearly, (value) => {
      let line: string;
      try {
        line = JSON.stringify(value);
      } catch {
        return; // A big integer, or a circle.
      }
      assertExact(line);
    }),
  );
});

test('`decodeOrder()` reads what `encodeOrder()` writes, a line each', () => {
  const order = {
    type: 'configure',
    revisions: [1],
    doors: [door('7000,8000:udp')],
    addresses: [FOUR, SIX],
    publicPorts: [22, 443],
    ipv6: true,
    packets: false,
  } as const;
  const line = encodeOrder(order);
  assert.equal(line.indexOf('\n'), line.length - 1);
  assert.deepEqual(decodeOrder(line), order);
});
