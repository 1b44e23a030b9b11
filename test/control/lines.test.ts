import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Lines } from '../../src/control/lines.ts';

const text = (line: Uint8Array | 'too-long'): string => (line === 'too-long' ? line : new TextDecoder().decode(line));
const bytes = (line: string): Uint8Array => new TextEncoder().encode(line);

test('`Lines` finds the same lines however the bytes are cut', () => {
  const source = bytes('one\n\ntwo\r\nthree is longer\nrest');
  fc.assert(
    fc.property(fc.array(fc.nat(source.length), { maxLength: 8 }), (cuts) => {
      const ends = [...cuts.toSorted((x, y) => x - y), source.length];
      const lines = new Lines(100);
      const found = ends.flatMap((end, i) => [...lines.take(source.subarray(ends[i - 1] ?? 0, end))].map(text));
      assert.deepEqual(found, ['one', '', 'two', 'three is longer']);
      assert.equal(text(lines.rest() ?? bytes('nothing')), 'rest');
      assert.equal(lines.rest(), undefined);
    }),
  );
});

test('`Lines` keeps no more than the longest line', () => {
  const lines = new Lines(10);
  assert.deepEqual([...lines.take(bytes('0123456789\n'))].map(text), ['0123456789']);
  assert.deepEqual([...lines.take(bytes('01234'))], []);
  assert.deepEqual([...lines.take(bytes('56789a'))].map(text), ['too-long']);
});
