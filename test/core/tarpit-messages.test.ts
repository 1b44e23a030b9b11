import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeReport } from '../../src/core/messages.ts';
import { decodeTarpitReport, encodeTarpitReport, type TarpitReport } from '../../src/core/tarpit-messages.ts';

const REPORTS: readonly TarpitReport[] = [
  { type: 'ready', confinement: { landlock: 7, seccomp: true, uid: 65526, notes: ['x'] } },
  { type: 'held', counts: { held: 3, total: 120, turnedAway: 5 } },
  { type: 'alive', number: 7 },
];

test('What the tarpit says comes back as it was meant', () => {
  for (const report of REPORTS) {
    const line = encodeTarpitReport(report);
    assert.ok(line.endsWith('\n'));
    assert.deepEqual(decodeTarpitReport(line.slice(0, -1)), report);
  }
});

test('What only a watcher says is no report of the tarpit, nor is anything else', () => {
  const foreign = [
    encodeReport({ type: 'ended' }),
    encodeReport({ type: 'failed', reason: 'x' }),
    encodeReport({
      type: 'knock',
      revision: 0,
      event: { type: 'opened', door: 0, source: { a: 0, b: 0, c: 0xffff, d: 1 } },
    }),
    ...['held 1 2', 'held 1 2 3 4', 'held -1 2 3', 'held 1e3 2 3', 'held 99999 1 1', ' held 1 2 3', ''],
    `held 1 ${'9'.repeat(16)} 0`,
  ];
  for (const line of foreign) assert.equal(decodeTarpitReport(line.trimEnd()), undefined, line);
});

test('decodeTarpitReport() never throws', () => {
  fc.assert(fc.property(fc.string(), (line) => void decodeTarpitReport(line)));
  for (const report of REPORTS) {
    const line = encodeTarpitReport(report).trimEnd();
    for (let length = 0; length < line.length; length++) decodeTarpitReport(line.slice(0, length));
  }
});
