import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printDuration, readDuration } from '../../src/core/duration.ts';

test('`readDuration()` adds up its units', () => {
  for (const [text, milliseconds] of [
    ['1ms', 1],
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['1h30m', 5_400_000],
    ['2d3h4m5s6ms', 183_845_006],
    ['0s', 0],
  ] as const) {
    assert.equal(readDuration(text), milliseconds, text);
  }
});

test('`readDuration()` takes nothing else', () => {
  for (const text of ['', '5', 's', '5 s', '-5s', '5s5m', '5m5m', '1.5h', '1w', '5S', '1234567890s', '5s ', '5sm']) {
    assert.equal(readDuration(text), undefined, text);
  }
});

test('`readDuration()` reads back what `printDuration()` prints, which is the shortest', () => {
  assert.deepEqual([0, 1, 999, 1000, 60_000, 90_061_001].map(printDuration), [
    '0s',
    '1ms',
    '999ms',
    '1s',
    '1m',
    '1d1h1m1s1ms',
  ]);
  assert.equal(printDuration(86_399_999), '23h59m59s999ms');
  fc.assert(
    fc.property(fc.nat(2 ** 40), (milliseconds) => {
      assert.equal(readDuration(printDuration(milliseconds)), milliseconds);
    }),
  );
});
