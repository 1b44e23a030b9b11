import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { generateSequence } from '../../src/config/generated-sequence.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';

const random = (below: number): number => randomInt(below);

test('generated sequences mix TCP and UDP, go up and down, and are taken without a doubt', () => {
  for (let round = 0; round < 300; round += 1) {
    const steps = generateSequence({ length: 6, isTaken: () => false, random });
    assert.equal(steps.length, 6);
    const names = steps.map(({ protocol, port }) => `"${protocol}/${port}"`);
    const text = `[door.ssh]\nprotect = ["tcp/22"]\n[door.ssh.knock]\nsteps = [${names}]\n`;
    const surroundings = { localPorts: { first: 32_768, last: 60_999, reserved: [] } };
    assert.deepEqual(parsePosternToml(text, { file: 'p', surroundings }).problems, [], text);
  }
});

test('ports that are taken are left out; never fewer than five steps', () => {
  for (let round = 0; round < 50; round += 1) {
    const steps = generateSequence({ length: 1, isTaken: ({ port }) => port % 2 === 0, random });
    assert.equal(steps.length, 5);
    assert.ok(steps.every(({ port }) => port % 2 === 1));
  }
  assert.throws(() => generateSequence({ length: 5, isTaken: () => true, random }), RangeError);
});

test('every port has its chance', () => {
  const ports = Array.from({ length: 400 }, () => generateSequence({ length: 6, isTaken: () => false, random }))
    .flat()
    .map(({ port }) => port);
  assert.ok(Math.min(...ports) < 2000 && Math.max(...ports) > 31_700);
});
