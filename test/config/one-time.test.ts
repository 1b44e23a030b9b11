import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { readOneTime, SPENT, spend } from '../../src/config/one-time.ts';
import { printSteps } from '../../src/core/door.ts';
import { readSessions, SAMPLES_MISSING } from '../support/knockd-samples.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const text = (file: Uint8Array): string => Buffer.from(file).toString('latin1');

/** Spends every sequence of a file in turn; the states of the file after each. */
function spendAll(file: string): string[] {
  const states: string[] = [];
  const now = bytes(file);
  let entry = readOneTime(now).entries[0];
  while (entry) {
    const { offset, next } = spend(now, entry);
    if (offset !== undefined) now[offset] = SPENT;
    states.push(text(now));
    entry = next;
  }
  return states;
}

const RECORDED = '# comment line\n\n 7000,8000\n7100,8100:udp\nbadline:xyz\n  7200:tcp , 8200:tcp \n#7300,8300\n';

describe('readOneTime()', () => {
  test('finds usable lines, their places and their sequences', () => {
    const { entries } = readOneTime(bytes(RECORDED));
    assert.deepEqual(
      entries.map(({ offset, line, steps }) => [offset, line, printSteps(steps)]),
      [
        [16, 3, '7000:tcp,8000:tcp'],
        [27, 4, '7100:tcp,8100:udp'],
        [53, 6, '7200:tcp,8200:tcp'],
      ],
    );
  });

  test('reports the malformed ones', () => {
    const { rejects } = readOneTime(bytes(RECORDED));
    assert.deepEqual(
      rejects.map(({ line, fault }) => [line, fault.type]),
      [[5, 'protocol']],
    );
  });

  test('takes CR LF, a missing last newline and an empty file', () => {
    assert.deepEqual(
      readOneTime(bytes(' 1,2\r\n 3')).entries.map(({ offset, steps }) => [offset, printSteps(steps)]),
      [
        [0, '1:tcp,2:tcp'],
        [6, '3:tcp'],
      ],
    );
    assert.deepEqual(readOneTime(bytes('')), { entries: [], rejects: [] });
  });
});

describe('spend()', () => {
  test('marks exactly the used line, also behind a malformed one, where knockd marks that one', () => {
    assert.deepEqual(spendAll(RECORDED), [
      RECORDED.replace(' 7000', '#7000'),
      RECORDED.replace(' 7000', '#7000').replace('7100', '#100'),
      RECORDED.replace(' 7000', '#7000').replace('7100', '#100').replace('  7200', '# 7200'),
    ]);
  });

  test('tells that no sequence is left after the last one', () => {
    const file = bytes('#1,2\n 3,4\n');
    const [entry] = readOneTime(file).entries;
    assert.deepEqual(entry && spend(file, entry), { offset: 5 });
  });

  test('finds the used sequence again when the file was edited meanwhile', () => {
    const [used] = readOneTime(bytes(' 1,2\n 3,4\n')).entries;
    const spending = used && spend(bytes('# new\n 5,6\n 1,2\n 3,4\n'), used);
    assert.equal(spending?.offset, 11);
    assert.equal(spending?.next?.line, 2);
  });

  test('marks nothing when the used sequence is on no line, and goes on with the first one', () => {
    const spending = spend(bytes(' 1,2\n'), { offset: -1, steps: [{ protocol: 'tcp', port: 5 }] });
    assert.equal(spending.offset, undefined);
    assert.equal(spending.next?.line, 1);
  });

  test('keeps the length, changes one byte, and comes to an end on any file', () => {
    const line = fc.constantFrom(' 1,2', '3,4:udp', '#5', '', 'x:y', ' 1,2', '\t7\r', '\0');
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const file = lines.join('\n');
        const states = [file, ...spendAll(file)];
        assert.equal(states.length - 1, readOneTime(bytes(file)).entries.length);
        for (const [i, state] of states.slice(1).entries()) {
          const before = states[i] ?? '';
          const changed = [...state].flatMap((byte, at) => (byte === before[at] ? [] : [at]));
          assert.equal(state.length, before.length);
          assert.deepEqual(
            changed.map((at) => state.charCodeAt(at)),
            [SPENT],
          );
        }
        assert.deepEqual(readOneTime(bytes(states.at(-1) ?? '')).entries, []);
      }),
    );
  });

  const sessions = readSessions();
  test('leaves the file of the recorded session as knockd does', { skip: SAMPLES_MISSING }, () => {
    const session = sessions.find(({ name }) => name.startsWith('15d'));
    const [first = '', ...later] = session?.files ?? [];
    assert.deepEqual(spendAll(first).slice(0, 2), later);
  });

  test('differs from the recorded session in the malformed line alone', { skip: SAMPLES_MISSING }, () => {
    const session = sessions.find(({ name }) => name.startsWith('15a'));
    const [first = '', second, , third, fourth] = session?.files ?? [];
    const states = spendAll(first);
    assert.deepEqual(states.slice(0, 2), [second, third]);
    assert.equal(states[2]?.replace('badline', '#adline').replace('# 7200', '  7200'), fourth);
  });
});
