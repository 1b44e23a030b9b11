import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Queues } from '../../src/core/queues.ts';

const ITEMS = 6;
const QUEUES = 3;
const STRIDE = 5;

test('`Queues` are what lists would be, whoever joins, leaves and joins again', () => {
  const step = fc.record({ item: fc.integer({ min: 1, max: ITEMS }), queue: fc.nat(QUEUES - 1), again: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
      const words = new Int32Array((ITEMS + 1) * STRIDE).fill(7);
      const queues = new Queues({ words, stride: STRIDE }, 2, QUEUES);
      const lists: number[][] = Array.from({ length: QUEUES }, () => []);
      for (const { item, queue, again } of steps) {
        const at = lists.findIndex((list) => list.includes(item));
        if (at === -1) {
          queues.join(queue, item);
          lists[queue]!.push(item);
        } else {
          lists[at] = lists[at]!.filter((other) => other !== item);
          if (again) lists[at].push(item);
          if (again) queues.rejoin(at, item);
          else queues.leave(at, item);
        }
        assert.deepEqual(
          lists.map((_, index) => queues.length(index)),
          lists.map((list) => list.length),
        );
        assert.deepEqual(
          lists.map((_, index) => queues.head(index)),
          lists.map((list) => list[0] ?? 0),
        );
      }
      // In order to the end, and no word of a record but the two links is touched.
      for (const [index, list] of lists.entries()) {
        for (const item of list) {
          assert.equal(queues.head(index), item);
          queues.leave(index, item);
        }
        assert.equal(queues.head(index), 0);
      }
      for (const [at, value] of words.entries()) if (at % STRIDE !== 2 && at % STRIDE !== 3) assert.equal(value, 7);
    }),
    { numRuns: 500 },
  );
});
