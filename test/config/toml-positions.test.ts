import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { locateKeys, type Path } from '../../src/config/toml-positions.ts';

/** Every path of a value, tables and items included. */
function* pathsOf(value: unknown, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path;
  if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* pathsOf(item, [...path, index]);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) yield* pathsOf(item, [...path, key]);
  }
}

type Tree = 'leaf' | readonly Tree[] | { readonly table: Tree } | { readonly tables: readonly Tree[] };

/** A table whose keys and texts are all different words. */
function nameAll(trees: readonly Tree[], names: { count: number }): Record<string, unknown> {
  const next = (): string => `n${++names.count}`;
  const entries = trees.map((tree) => {
    const key = next();
    if (tree === 'leaf') return [key, next()] as const;
    if ('table' in tree) return [key, nameAll(tree.table as readonly Tree[], names)] as const;
    if ('tables' in tree) return [key, tree.tables.map((inner) => nameAll(inner as readonly Tree[], names))] as const;
    return [key, tree.map(next)] as const;
  });
  return Object.fromEntries(entries);
}

describe('locateKeys()', () => {
  const text = `# a comment with = and [x]
top = 1

[door.ssh]            # header
protect = [
  "tcp/22",  # "not, this"
  # nor this = 1
  'tcp/23',
]
sources = { allow = ["10.0.0.0/8", "::/0"], deny = [] }
knock.within = """
[not.a.header]
x = 1"""
knock.'st.eps' = ["a"]
[door."we b".knock]
steps = [["x"], [ "y",
"z" ]]
[[list]]
a = 1
[[list]]
a = 2
[list.sub]
b = 3
`;
  const lines: readonly (readonly [Path, number])[] = [
    [['top'], 2],
    [['door'], 4],
    [['door', 'ssh'], 4],
    [['door', 'ssh', 'protect'], 5],
    [['door', 'ssh', 'protect', 0], 6],
    [['door', 'ssh', 'protect', 1], 8],
    [['door', 'ssh', 'protect', 7], 5],
    [['door', 'ssh', 'sources', 'allow', 1], 10],
    [['door', 'ssh', 'sources', 'deny'], 10],
    [['door', 'ssh', 'knock', 'within'], 11],
    [['door', 'ssh', 'knock', 'st.eps', 0], 14],
    [['door', 'ssh', 'missing'], 4],
    [['door', 'we b', 'knock', 'steps'], 16],
    [['door', 'we b', 'knock', 'steps', 1, 1], 17],
    [['list', 0, 'a'], 19],
    [['list', 1], 20],
    [['list', 1, 'a'], 21],
    [['list', 1, 'sub', 'b'], 23],
    [['nothing'], 0],
  ];
  for (const [path, line] of lines) {
    test(`finds ${JSON.stringify(path)} on line ${line}`, () => assert.equal(locateKeys(text).lineOf(path), line));
  }

  test('prefers the header of a table to that of its subtable', () => {
    const positions = locateKeys('[door.ssh.knock]\nwithin = "1s"\n[door.ssh]\nrenew = true\n');
    assert.equal(positions.lineOf(['door', 'ssh']), 3);
    assert.equal(positions.lineOf(['door', 'ssh', 'knock']), 1);
  });

  test('follows lines that end in CR LF, and a byte order mark', () => {
    const positions = locateKeys('\ufeffa = 1\r\n[b]\r\nc = 2\r\n');
    assert.equal(positions.lineOf(['a']), 1);
    assert.equal(positions.lineOf(['b', 'c']), 3);
  });

  test('has the right line for every key, table and item that the parser finds', () => {
    const { table } = fc.letrec<{ table: Tree; list: Tree }>((tie) => ({
      list: fc.array(fc.constant('leaf'), { maxLength: 3 }),
      table: fc.array(
        fc.oneof(
          { maxDepth: 3 },
          fc.constant('leaf'),
          tie('list'),
          fc.record({ table: tie('table') }),
          fc.record({ tables: fc.array(tie('table'), { minLength: 1, maxLength: 3 }) }),
        ),
        { maxLength: 4 },
      ),
    }));
    fc.assert(
      fc.property(table, (tree) => {
        const written = stringify(nameAll(tree as readonly Tree[], { count: 0 }));
        const lines = written.split('\n');
        const positions = locateKeys(written);
        const values = parse(written);
        for (const path of pathsOf(values)) {
          const value = path.reduce<unknown>((at, part) => (at as Record<string | number, unknown>)[part], values);
          const name = typeof value === 'string' ? value : path.at(-1);
          if (typeof name === 'string')
            assert.match(lines[positions.lineOf(path) - 1] ?? '', new RegExp(`\\b${name}\\b`));
        }
      }),
    );
  });

  test('comes to an end on any text, in time that grows with it', () => {
    const piece = fc.constantFrom(
      '[',
      ']',
      '{',
      '}',
      '=',
      ',',
      '"',
      "'",
      '"""',
      "'''",
      '\\',
      '#',
      '\n',
      'a',
      '.',
      ' ',
      '\r',
      '1',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
        const broken = pieces.join('');
        const { last } = locateKeys(broken);
        assert.ok(last === undefined || last.line <= broken.split('\n').length);
      }),
      { numRuns: 2000 },
    );
  });
});
