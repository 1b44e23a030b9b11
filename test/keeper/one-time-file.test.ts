import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readOneTime } from '../../src/config/one-time.ts';
import { type Spent, spendInMemory, spendOneTime } from '../../src/keeper/one-time-file.ts';
import { steps } from '../support/knocks.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('The used line is marked, the rest of the file stays, and the next line comes into force', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'seqs');
  writeFileSync(file, '# list\nbad:xyz\n 7000,8000\n7100,8100:udp\n');
  const first = spendOneTime(file, { offset: 15, steps: steps('7000,8000') });
  assert.equal(readFileSync(file, 'utf8'), '# list\nbad:xyz\n#7000,8000\n7100,8100:udp\n');
  assert.equal(first.good, true);
  assert.deepEqual(first.next?.steps, steps('7100,8100:udp'));
  assert.ok(first.next);
  assert.deepEqual(spendOneTime(file, first.next), { good: true, next: undefined });
  assert.equal(readFileSync(file, 'utf8'), '# list\nbad:xyz\n#7000,8000\n#100,8100:udp\n');
});

test('A line that was moved by an editor meanwhile is found and marked', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'seqs');
  writeFileSync(file, ' 9,9\n 7000,8000\n');
  const { good, next } = spendOneTime(file, { offset: 0, steps: steps('7000,8000') });
  assert.equal(good, true);
  assert.equal(readFileSync(file, 'utf8'), ' 9,9\n#7000,8000\n');
  assert.deepEqual(next?.steps, steps('9,9'));
});

test('A line that is used already, or that an administrator took out, is not good again', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'seqs');
  writeFileSync(file, ' 7000,8000\n 9,9\n');
  const used = { offset: 0, steps: steps('7000,8000') };
  assert.equal(spendOneTime(file, used).good, true);
  const again = spendOneTime(file, used);
  assert.equal(again.good, false);
  assert.deepEqual(again.next?.steps, steps('9,9'));
  assert.equal(readFileSync(file, 'utf8'), '#7000,8000\n 9,9\n');
});

test('A sequence that was never in the file is good, and the file comes into force', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'seqs');
  writeFileSync(file, ' 9,9\n');
  const { good, next } = spendOneTime(file, { offset: -1, steps: steps('1,2') });
  assert.equal(good, true);
  assert.deepEqual(next?.steps, steps('9,9'));
});

test('A file that is gone throws: the door must not open', () => {
  assert.throws(() => spendOneTime('/nonexistent/seqs', { offset: 0, steps: steps('7000') }), { code: 'ENOENT' });
});

test('Every sequence of a file opens once, whatever the file', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'seqs');
  const line = fc.oneof(
    fc.constantFrom('', '# note', 'bad:xyz', ' 7000,8000', '\t7000 , 8000 ', '7100:udp,8100', '7000,8000\r', '70000'),
    fc.string({ maxLength: 20 }),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (all) => {
      writeFileSync(file, all.join('\n'));
      const length = readFileSync(file).length;
      const { entries } = readOneTime(readFileSync(file));
      let current = entries[0];
      let opened = 0;
      while (current) {
        const { good, next }: Spent = spendOneTime(file, current);
        assert.equal(good, true);
        opened += 1;
        assert.equal(readFileSync(file).length, length);
        assert.ok(opened <= entries.length, 'a sequence came back');
        current = next;
      }
      assert.equal(opened, entries.length);
      assert.deepEqual(readOneTime(readFileSync(file)).entries, []);
    }),
    { numRuns: 200 },
  );
});

test('In memory the sequences come into force one after another too, and the file stays as it was', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'seqs');
  const text = ' 7000,8000\nbad:xyz\n 9,9\n';
  writeFileSync(file, text);
  const spendDry = spendInMemory();
  const first = { offset: 0, steps: steps('7000,8000') };
  const { good, next } = spendDry(file, first);
  assert.deepEqual([good, next?.steps], [true, steps('9,9')]);
  assert.equal(spendDry(file, first).good, false);
  assert.ok(next);
  assert.deepEqual(spendDry(file, next), { good: true, next: undefined });
  assert.equal(readFileSync(file, 'utf8'), text);
});
