/** What is generated from the schema of postern.toml: it is there, it is fresh, and it agrees with the reader. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { generated } from '../../scripts/docs.ts';
import { posternSchema } from '../../src/config/postern-schema.ts';
import { parsePosternToml } from '../../src/config/postern-toml.ts';
import { type Shape, shapeAt, shapeOf } from '../../src/config/schema-shape.ts';
import { violations } from '../support/json-schema.ts';

const root = join(import.meta.dirname, '../..');
const shape = shapeOf(posternSchema);
const schema = JSON.parse(generated.get('doc/postern.schema.json') ?? '') as Record<string, unknown>;
const page = generated.get('doc/postern.toml.md') ?? '';

function* keysOf(of: Shape, path: readonly string[] = []): Generator<readonly [readonly string[], Shape]> {
  if (of.type === 'named-tables') yield* keysOf(of.value, [...path, 'NAME']);
  if (of.type !== 'table') return;
  for (const [key, inner] of of.keys) {
    yield [[...path, key], inner];
    yield* keysOf(inner, [...path, key]);
  }
}

const keys = [...keysOf(shape)];

for (const [path, text] of generated) {
  test(`${path} is as "npm run docs" writes it`, () => assert.equal(readFileSync(join(root, path), 'utf8'), text));
}

describe('every key of postern.toml', () => {
  for (const [path, key] of keys) {
    const name = path.join('.');
    test(`${name} is explained, and stands on the page`, () => {
      assert.match(key.description, /^[A-Z].*\.$/);
      const isTable = key.type === 'table' || key.type === 'named-tables';
      assert.ok(
        page.includes(isTable ? `[${key.type === 'table' ? name : `${name}.NAME`}]` : `| \`${path.at(-1)}\` |`),
      );
    });
    const values = [...(key.about.examples ?? []), ...(key.default === undefined ? [] : [key.default])];
    for (const value of values) {
      if (key.type === 'table' || key.type === 'named-tables') continue;
      test(`${name} takes ${JSON.stringify(value)}, by reader and schema`, () => {
        const door = { protect: ['tcp/9'], sources: {}, knock: { steps: ['udp/8', 'tcp/7'] } };
        const written: Record<string, unknown> = { door: { NAME: door } };
        let at = written;
        for (const part of path.slice(0, -1)) {
          at[part] ??= {};
          at = at[part] as Record<string, unknown>;
        }
        at[path.at(-1) ?? ''] = value;
        const { problems } = parsePosternToml(stringify(written), { file: 'p' });
        assert.deepEqual(
          problems.filter(({ severity }) => severity === 'error'),
          [],
        );
        assert.deepEqual(violations(schema, written), []);
      });
    }
  }

  test('is found by its path', () => {
    for (const [path, key] of keys) assert.equal(shapeAt(shape, path), key);
  });
});

describe('the JSON Schema', () => {
  /** Mostly one of the good values. */
  const text = (good: readonly unknown[], bad: readonly unknown[]): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 30, arbitrary: fc.constantFrom(...good) }, { weight: 1, arbitrary: fc.constantFrom(...bad) });
  const list = (good: readonly unknown[], bad: readonly unknown[]) =>
    fc.array(text(good, bad), { minLength: 1, maxLength: 3 });
  const some = { requiredKeys: [] };
  const door = fc.record(
    {
      protect: list(['tcp/22', 'udp/1-2'], ['x']),
      open_for: text(['30s', '500ms', '1h30m', '1m5ms'], ['s', '30', 30]),
      close: text(['keep', 'cut'], ['x']),
      limit: text([1, 1000], [0, 'x']),
      on_open: fc.constantFrom(['/bin/true'], ['/bin/logger', '', 'x y'], ['true'], []),
      sources: fc.record({ allow: list(['::/0', '10.0.0.0/8', '::1', '192.0.2.1'], ['x']) }, some),
      knock: fc.record(
        {
          steps: list(['tcp/1', 'udp/2'], ['tcp/99999', 7]),
          flags: list(['syn', '!ACK'], ['x']),
          target: text(['::1', '192.0.2.1'], ['x']),
        },
        { requiredKeys: ['steps'] },
      ),
    },
    some,
  );
  const file = fc.record(
    {
      state: fc.record({ dir: text(['/x', 'x'], ['', 5]) }, some),
      capture: fc.record({ interfaces: list(['eth0', 'br-1234567890ab'], ['any', 'x y']) }),
      public: fc.record({ ports: list(['tcp/80', 'udp/1-9'], ['80', 'tcp/0']) }),
      firewall: fc.record({ face: text(['drop', 'auto'], ['x']), ipv6_prefix: text([64, 128], [0, 1.5]) }, some),
      journal: fc.record(
        { keep: text(['90d', '1h', '1d1h'], ['1h1d', 90]), size: text(['1MB', '12B'], ['1mb']) },
        some,
      ),
      door: fc.dictionary(text(['a', 'B-2', 'toString'], ['9', 'x y']) as fc.Arbitrary<string>, door, { maxKeys: 2 }),
    },
    some,
  );

  test('accepts every file that the reader accepts', () => {
    let accepted = 0;
    fc.assert(
      fc.property(file, (values) => {
        const written = stringify(values);
        if (!parsePosternToml(written, { file: 'p' }).ok) return;
        accepted++;
        assert.deepEqual(violations(schema, parse(written)), []);
      }),
      { numRuns: 3000 },
    );
    assert.ok(accepted > 50, `only ${accepted} were accepted`);
  });

  for (const wrong of [
    { other: 1 },
    { door: { a: {} } },
    { door: { '9a': { protect: ['tcp/22'] } } },
    { door: { a: { protect: ['22'] } } },
    { door: { a: { protect: [] } } },
    { door: { a: { protect: ['tcp/22'], open_for: 30 } } },
    { door: { a: { protect: ['tcp/22'], open_for: '30' } } },
    { door: { a: { protect: ['tcp/22'], opne_for: '30s' } } },
    { door: { a: { protect: ['tcp/22'], knock: {} } } },
    { firewall: { driver: 'x' } },
    { firewall: { ipv6_prefix: 300 } },
  ]) {
    test(`refuses ${JSON.stringify(wrong)}`, () => assert.notDeepEqual(violations(schema, wrong), []));
  }
});

test('the file on the reference page is a good one', () => {
  const example = /```toml\n([^`]*)```/.exec(page)?.[1] ?? '';
  const { ok, problems } = parsePosternToml(example, { file: 'p' });
  assert.ok(ok);
  assert.deepEqual(problems, []);
});
