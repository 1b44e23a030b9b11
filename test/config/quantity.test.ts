import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DURATION_PATTERN, parseDuration, parseSize, printDuration } from '../../src/config/quantity.ts';

describe('parseDuration()', () => {
  for (const [text, milliseconds] of [
    ['500ms', 500],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
    ['1d2h3m4s5ms', 93_784_005],
    ['90m', 5_400_000],
    ['0s', 0],
  ] as const) {
    test(`reads "${text}"`, () => assert.deepEqual(parseDuration(text), { value: milliseconds }));
  }

  for (const [text, hint] of [
    ['30', 'Add a unit: "30s" is seconds, "ms", "m", "h" and "d" are there too'],
    ['30 s', 'Write "30s"'],
    ['30sec', 'Write "30s"'],
    ['5 minutes', 'Write "5m"'],
    ['1.5h', 'Write "1h30m"'],
    ['1 hour and 30 minutes', 'Write "1h30m"'],
    ['30m1h', 'Write "1h30m"'],
    ['1w', 'Write "7d"'],
    ['30S', 'Write "30s"'],
    ['', 'Write a number with a unit, such as "30s", "5m" or "1h30m"'],
    ['-5s', 'Write a number with a unit, such as "30s", "5m" or "1h30m"'],
    ['forever', 'Write a number with a unit, such as "30s", "5m" or "1h30m"'],
    ['1s1s', 'Write "2s"'],
  ] as const) {
    test(`refuses "${text}" with a way out`, () => {
      assert.deepEqual(parseDuration(text), { message: `Cannot read the duration "${text}"`, hint });
    });
  }

  test('reads what printDuration() prints', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (milliseconds) => {
        const text = printDuration(milliseconds);
        assert.deepEqual(parseDuration(text), { value: milliseconds });
        assert.match(text, new RegExp(DURATION_PATTERN));
      }),
    );
  });
});

describe('parseSize()', () => {
  test('knows decimal and binary units', () => {
    assert.deepEqual(parseSize('100MB'), { value: 1e8 });
    assert.deepEqual(parseSize('64MiB'), { value: 2 ** 26 });
    assert.deepEqual(parseSize('12B'), { value: 12 });
  });

  for (const [text, hint] of [
    ['100', 'Add a unit, such as "100MB"'],
    ['100mb', 'Write "100MB"'],
    ['100 MB', 'Write "100MB"'],
    ['1g', 'Write "1GB"'],
    ['1TB', 'The units are B, kB, MB, GB, KiB, MiB, GiB'],
    ['x', 'Write a whole number with a unit, such as "100MB" or "64MiB"'],
  ] as const) {
    test(`refuses "${text}" with a way out`, () => {
      assert.deepEqual(parseSize(text), { message: `Cannot read the size "${text}"`, hint });
    });
  }
});
