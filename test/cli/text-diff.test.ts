import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diffLines } from '../../src/cli/text-diff.ts';

test('what differs is marked, what surrounds it is shown, what is far from it is not', () => {
  const before = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].join('\n');
  const after = ['a', 'b', 'c', 'D', 'e', 'f', 'g', 'h', 'i'].join('\n');
  assert.deepEqual(diffLines(before, after, 1), ['  c', '- d', '+ D', '  e', '...', '  h', '+ i']);
  assert.deepEqual(diffLines('', 'x\ny\n'), ['+ x', '+ y']);
  assert.deepEqual(diffLines('same\n', 'same\n'), []);
});

test('the marked lines turn the one text into the other', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 12 });
  fc.assert(
    fc.property(text, text, (before, after) => {
      const textOf = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
      const lines = diffLines(textOf(before), textOf(after), 100);
      const rebuilt = (mark: string): string[] =>
        lines
          .filter((line) => line.startsWith(mark) || line.startsWith(' ') || line === '')
          .map((line) => line.slice(2));
      if (lines.length === 0) return assert.deepEqual(before, after);
      assert.deepEqual([rebuilt('-'), rebuilt('+')], [before, after]);
    }),
  );
});
