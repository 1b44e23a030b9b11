/** Runs every knock vector of test/vectors through the engine, and its `knockd:` line through the model of knockd. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Engine } from '../../src/core/engine.ts';
import { type KnockVector, LOCAL_ADDRESSES, readKnockVectors } from '../support/knock-vector.ts';
import { printEvent } from '../support/reference-engine.ts';
import { ReferenceKnockd } from '../support/reference-knockd.ts';

const FOLDER = new URL('../vectors/', import.meta.url);
const vectors = readdirSync(FOLDER)
  .filter((name) => name.startsWith('knock-') && name.endsWith('.md'))
  .flatMap((name) => readKnockVectors(new URL(name, FOLDER)));

function play(vector: KnockVector): string[] {
  const engine = new Engine(vector.doors, { seed: [1, 2], capacity: 1000 });
  engine.setLocalAddresses(LOCAL_ADDRESSES);
  return vector.input.flatMap(({ time, packet }) =>
    (packet ? engine.packet(packet, time) : engine.expire(time)).map(
      (event) => `${time} ${printEvent(event, vector.doors)}`,
    ),
  );
}

function playKnockd(vector: KnockVector): string[] {
  const knockd = new ReferenceKnockd(vector.doors, LOCAL_ADDRESSES, { losesList: true });
  return vector.input.flatMap(({ time, packet }) =>
    packet ? knockd.packet(packet, time).map((opening) => opening.door.name) : [],
  );
}

function opened(lines: readonly string[]): string[] {
  return lines.filter((line) => line.endsWith(' opened')).map((line) => line.split(' ')[2]!);
}

for (const vector of vectors) {
  test(`${vector.file}: ${vector.name}`, () => {
    assert.deepEqual(play(vector), vector.events);
    assert.deepEqual(playKnockd(vector), vector.knockd);
  });
}

test('Every vector has a name of its own', () => {
  const names = vectors.map((vector) => vector.name);
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
  );
  assert.ok(names.length > 40);
});

test('Every difference from knockd is a line of doc/knockd-differences.md, and names a vector', () => {
  const page = readFileSync(new URL('../../doc/knockd-differences.md', import.meta.url), 'utf8');
  const named = new Set(
    [...page.matchAll(/`(knock-[a-z-]+\.md)#([a-z0-9-]+)`/g)].map((match) => `${match[1]} ${match[2]}`),
  );
  const known = new Set(vectors.map((vector) => `${vector.file} ${vector.name}`));
  assert.deepEqual(
    [...named].filter((name) => !known.has(name)),
    [],
    'names of no vector',
  );
  const different = vectors.filter((vector) => opened(vector.events).join() !== vector.knockd.join());
  assert.deepEqual(
    different.map((vector) => `${vector.file} ${vector.name}`).filter((name) => !named.has(name)),
    [],
    'differences that the page leaves out',
  );
});
