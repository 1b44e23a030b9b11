import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { atoi, readSequence } from '../../src/config/knockd-values.ts';
import { countingGaps, lowerStrays } from '../../src/config/strays.ts';

const strays = (sequence: string, wanted = 2): number => lowerStrays(readSequence(sequence).steps, wanted);

describe('lowerStrays()', () => {
  test('leaves room for strays where a scan meets more of them', () => {
    assert.equal(strays('7000,8000,9000'), 2);
    assert.equal(strays('9000,8000,7000'), 2);
    assert.equal(strays('7000,7004'), 2);
    assert.equal(strays('7000,7002,7004,7005'), 1);
  });

  test('holds a counting sequence with few gaps to fewer strays than a scan makes', () => {
    assert.equal(strays('7000,7003'), 1);
    assert.equal(strays('7000,7001,7004'), 1);
    assert.equal(strays('7003,7001,7000'), 0);
    assert.equal(strays('7000,7002'), 0);
  });

  test('has nothing to offer where there is no gap', () => {
    assert.equal(strays('7000,7001,7002'), 0);
    assert.equal(strays('7002,7001,7000'), 0);
  });

  test('leaves sequences alone that do not count, or mix UDP in', () => {
    for (const sequence of ['7000,7002,7001', '7000,7000,7001', '7000,7001:udp,7002', '7000']) {
      assert.equal(strays(sequence), 2);
    }
  });

  test('follows another number of strays', () => {
    assert.equal(strays('7000,7005', 5), 3);
    assert.equal(strays('7000,8000', 5), 5);
    assert.equal(strays('7000,8000', 0), 0);
    assert.equal(strays('7000,7002', 0), 0);
  });

  test('never lets a linear scan through, unless the ports are neighbours', () => {
    for (const sequence of ['1,3', '1,4', '1,5', '1,2,4', '9,8,5', '5,4,3,1', '10,20,30']) {
      const gaps = countingGaps(readSequence(sequence).steps);
      assert.ok(gaps !== undefined && gaps > strays(sequence));
    }
  });
});

describe('atoi()', () => {
  const cases: [string, number][] = [
    ['', 0],
    ['abc', 0],
    [' \t\n\v\f\r42x', 42],
    ['+5', 5],
    ['- 5', 0],
    ['--5', 0],
    ['0x10', 0],
    ['0000012', 12],
    ['2147483648', -2147483648],
    ['4294967297', 1],
    ['9223372036854775807', -1],
    ['9223372036854775808', -1],
    ['-9223372036854775808', 0],
    ['-99999999999999999999', 0],
    [`${'0'.repeat(50)}7`, 7],
    ['\u00a01', 0],
  ];
  for (const [text, number] of cases) {
    test(`reads ${JSON.stringify(text)} as ${number}`, () => assert.equal(atoi(text), number));
  }
});
