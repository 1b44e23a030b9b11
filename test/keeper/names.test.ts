import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Names, nameFromGetent } from '../../src/keeper/names.ts';
import { settled } from '../support/fake-programs.ts';
import { address } from '../support/knocks.ts';

const ONE = address('10.0.0.1');
const TWO = address('fd77::2');

function stage() {
  const asked: string[] = [];
  const answers = new Map<string, (name: string | undefined) => void>();
  const names = new Names((text) => {
    asked.push(text);
    return new Promise((resolve) => answers.set(text, resolve));
  });
  const labels: string[] = [];
  const answer = async (text: string, name: string | undefined): Promise<void> => {
    answers.get(text)?.(name);
    await settled();
  };
  return { names, asked, labels, answer };
}

test('Without a lookup a label is the address, at once', () => {
  const labels: string[] = [];
  new Names().withLabel(TWO, (label) => labels.push(label));
  assert.deepEqual(labels, ['fd77::2']);
});

test('Lines of a source wait for its name, in order; those of others do not wait for it', async () => {
  const { names, asked, labels, answer } = stage();
  names.withLabel(ONE, (label) => labels.push(`${label}: 1`));
  names.withLabel(ONE, (label) => labels.push(`${label}: 2`));
  names.withLabel(TWO, (label) => labels.push(`${label}: 3`));
  assert.deepEqual(asked, ['10.0.0.1', 'fd77::2']);
  await answer('fd77::2', undefined);
  assert.deepEqual(labels, ['fd77::2: 3']);
  await answer('10.0.0.1', 'laptop.example');
  assert.deepEqual(labels, ['fd77::2: 3', '10.0.0.1 (laptop.example): 1', '10.0.0.1 (laptop.example): 2']);
});

test('A name is asked for once', async () => {
  const { names, asked, labels, answer } = stage();
  names.withLabel(ONE, (label) => labels.push(label));
  await answer('10.0.0.1', 'laptop.example');
  names.withLabel(ONE, (label) => labels.push(label));
  assert.deepEqual(asked, ['10.0.0.1']);
  assert.deepEqual(labels, ['10.0.0.1 (laptop.example)', '10.0.0.1 (laptop.example)']);
});

test('Not more than 8 lookups are under way; who comes then is called by the address', async () => {
  const { names, asked, labels, answer } = stage();
  for (let count = 1; count <= 100; count += 1) {
    names.withLabel({ ...ONE, d: count }, (label) => labels.push(label));
  }
  assert.equal(asked.length, 8);
  assert.equal(labels.length, 92);
  await answer(asked[0] ?? '', undefined);
  names.withLabel(TWO, (label) => labels.push(label));
  assert.equal(asked.length, 9);
});

test('Not more than 100 lines wait for the same name', () => {
  const { names, asked, labels } = stage();
  for (let count = 0; count < 101; count += 1) names.withLabel(ONE, (label) => labels.push(label));
  assert.equal(asked.length, 1);
  assert.deepEqual(labels, ['10.0.0.1']);
});

test('A lookup that fails leaves the address without a name', async () => {
  const names = new Names(() => Promise.reject(new Error('no descriptors')));
  const labels: string[] = [];
  names.withLabel(ONE, (label) => labels.push(label));
  await settled();
  assert.deepEqual(labels, ['10.0.0.1']);
});

test('`nameFromGetent()` takes a name from an answer, and nothing that is none', () => {
  assert.equal(nameFromGetent('10.0.0.1       laptop.example alias\n'), 'laptop.example');
  assert.equal(nameFromGetent('fd77::2         laptop6.kd_test\n10.0.0.2 other\n'), 'laptop6.kd_test');
  for (const strange of [
    '',
    '\n',
    '10.0.0.1',
    '10.0.0.1 a;b',
    '10.0.0.1 \u001b[2J',
    `10.0.0.1 ${'x'.repeat(254)}`,
    '10.0.0.1 $(id)',
  ]) {
    assert.equal(nameFromGetent(strange), undefined, strange);
  }
});
