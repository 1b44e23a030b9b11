/** The cursor is the one guard between strangers' lengths and memory, so its edges are tested one by one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteCursor } from '../../src/core/byte-cursor.ts';

test('`ByteCursor` reads numbers in network order', () => {
  const cursor = new ByteCursor(Uint8Array.of(1, 2, 3, 0xff, 0xff, 0xff, 0xfe, 9));
  assert.equal(cursor.u8(), 1);
  assert.equal(cursor.u16(), 0x0203);
  assert.equal(cursor.i32(), -2);
  assert.equal(cursor.peek(), 9);
  assert.equal(cursor.u8(), 9);
  assert.equal(cursor.offset, 8);
  assert.equal(cursor.failed, false);
});

test('`ByteCursor` fails and stays where it is when a read goes past the end, and never recovers', () => {
  const cursor = new ByteCursor(Uint8Array.of(1, 2, 3));
  assert.equal(cursor.i32(), 0);
  assert.equal(cursor.failed, true);
  assert.equal(cursor.offset, 0);
  assert.equal(cursor.u16(), 0x0102);
  assert.equal(cursor.failed, true);
});

test('`ByteCursor` may skip to its very end but not one byte further, nor backwards, nor by what is no number', () => {
  const cursor = new ByteCursor(new Uint8Array(4));
  cursor.skip(4);
  cursor.skip(0);
  assert.equal(cursor.failed, false);
  for (const count of [1, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    const other = new ByteCursor(new Uint8Array(4), 4);
    other.skip(count);
    assert.equal(other.failed, true, String(count));
    assert.equal(other.offset, 4);
  }
});

test('`ByteCursor` cannot be started or ended outside of its array', () => {
  const bytes = Uint8Array.of(1, 2);
  const cases: [number, number][] = [
    [2, 2],
    [5, 9],
    [1, 1],
    [0, -1],
    [Number.NaN, 2],
    [0, Number.NaN],
  ];
  for (const [start, end] of cases) {
    const cursor = new ByteCursor(bytes, start, end);
    assert.equal(cursor.u8(), 0, `${start}..${end}`);
    assert.equal(cursor.failed, true);
  }
  assert.equal(new ByteCursor(bytes, -5).u8(), 1);
  const cursor = new ByteCursor(bytes, 0, 99);
  cursor.skip(2);
  assert.equal(cursor.peek(), 0);
  assert.equal(cursor.failed, true);
});

test('`ByteCursor` agrees with a `DataView` on every walk', () => {
  const widths = { u8: 1, u16: 2, i32: 4, peek: 1 } as const;
  const step = fc.oneof(
    fc.constantFrom(...(Object.keys(widths) as (keyof typeof widths)[])),
    fc.integer({ min: -3, max: 40 }),
  );
  const walk = fc.tuple(fc.uint8Array({ maxLength: 32 }), fc.nat(8), fc.nat(40), fc.array(step));
  fc.assert(
    fc.property(walk, ([bytes, start, end, steps]) => {
      const cursor = new ByteCursor(bytes, start, end);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const last = Math.min(end, bytes.length);
      let at = start;
      let failed = false;
      for (const move of steps) {
        const width = typeof move === 'number' ? move : widths[move];
        const fits = width >= 0 && at + width <= last;
        if (typeof move === 'number') cursor.skip(move);
        else {
          const expected = { u8: 'getUint8', u16: 'getUint16', i32: 'getInt32', peek: 'getUint8' } as const;
          assert.equal(cursor[move](), fits ? view[expected[move]](at) : 0);
        }
        if (!fits) failed = true;
        else if (move !== 'peek') at += width;
        assert.equal(cursor.offset, at);
        assert.equal(cursor.failed, failed);
      }
    }),
  );
});
