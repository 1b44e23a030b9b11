/** Keys that the configuration does not have, all of them, and what their author probably meant. */

import { type Finding, finding, quote } from './problem.ts';
import { isTable } from './schema-parts.ts';
import type { Shape } from './schema-shape.ts';
import { nearestKey } from './spelling.ts';
import { type Path, printPath } from './toml-positions.ts';

export interface StrangeKey {
  /** The table that it stands in. */
  readonly table: Path;
  readonly key: string;
  readonly value: unknown;
  /** Where its author probably meant to write it. */
  readonly meant?: Path;
  readonly about: Finding;
}

/** Names that JavaScript's objects keep for themselves; valibot passes over them. */
const RESERVED = new Set(['__proto__', 'constructor', 'prototype']);

/** Looks at a table and everything in it that has the shape of a table. */
export function* findStrangeKeys(root: Shape, values: unknown): Generator<StrangeKey> {
  yield* search(root, root, values, []);
}

function* search(root: Shape, shape: Shape, values: unknown, path: Path): Generator<StrangeKey> {
  if (!isTable(values)) return;
  for (const [key, value] of Object.entries(values)) {
    if (shape.type === 'table') {
      const inner = shape.keys.get(key);
      if (inner) yield* search(root, inner, value, [...path, key]);
      else yield { table: path, key, value, ...explain(root, shape, path, key, value) };
    } else if (shape.type === 'named-tables') {
      if (!RESERVED.has(key)) yield* search(root, shape.value, value, [...path, key]);
      else {
        const about = finding('error', `Cannot use the name ${quote(key)} for a door`, 'Give it another name');
        yield { table: path, key, value, about };
      }
    }
  }
}

type Table = Extract<Shape, { type: 'table' }>;

interface Home {
  readonly path: Path;
  readonly table: Table;
}

function explain(
  root: Shape,
  own: Table,
  path: Path,
  key: string,
  value: unknown,
): Omit<StrangeKey, 'table' | 'key' | 'value'> {
  const isSection = isTable(value) && path.length === 0;
  const here = path.length === 0 ? (isSection ? '' : ' outside of a section') : ` in [${printPath(path)}]`;
  const message = isSection ? `Cannot use the section ${quote(`[${key}]`)}` : `Cannot use the key ${quote(key)}${here}`;
  const tell = (hint: string, place?: Path) => ({
    about: finding('error', message, hint),
    ...(place && { meant: place }),
  });
  const meant = ownKey(own, key);
  if (isSection && meant === undefined && looksLikeDoor(root, value)) return tell(`Write [door.${key}]`, ['door', key]);
  if (meant !== undefined)
    return tell(isSection ? `Did you mean "[${meant}]"?` : `Did you mean "${meant}"?`, [...path, meant]);
  const homes = [...homesOf(root, path)].filter(({ table }) => table !== own);
  const exact = homes.find(({ table }) => table.keys.has(key));
  if (exact) return tell(`Move it into ${printHome(exact.path)}`);
  for (const { path: home, table } of homes) {
    const near = ownKey(table, key);
    if (near !== undefined) return tell(`Did you mean "${near}" in ${printHome(home)}?`);
  }
  const mine = [...own.keys].filter(([, { type }]) => path.length > 0 || isSection === isTableType(type));
  return tell(`The ${isSection ? 'sections' : 'keys'} here are ${mine.map(([name]) => name).join(', ')}`);
}

function isTableType(type: Shape['type']): boolean {
  return type === 'table' || type === 'named-tables';
}

/** The key of this table that goes by another name, or is spelt nearly so. */
function ownKey(table: Table, key: string): string | undefined {
  const plain = key.toLowerCase().replaceAll('-', '_');
  for (const [name, { about }] of table.keys) if (name === plain || about.aliases?.includes(plain)) return name;
  return nearestKey(plain, table.keys.keys());
}

function looksLikeDoor(root: Shape, value: unknown): boolean {
  const doors = root.type === 'table' ? root.keys.get('door') : undefined;
  if (doors?.type !== 'named-tables' || doors.value.type !== 'table' || !isTable(value)) return false;
  const { keys } = doors.value;
  return Object.keys(value).some((key) => keys.has(key));
}

/** All tables with their paths, those of the same door under its name, the nearest first. */
function* homesOf(root: Shape, path: Path): Generator<Home> {
  const found: Home[] = [];
  collect(root, [], path, found);
  const common = ({ path: home }: Home): number => {
    const apart = home.findIndex((part, i) => part !== path[i]);
    return apart === -1 ? home.length : apart;
  };
  yield* found.toSorted((x, y) => common(y) - common(x));
}

function collect(shape: Shape, at: Path, near: Path, found: Home[]): void {
  if (shape.type === 'table') {
    found.push({ path: at, table: shape });
    for (const [key, inner] of shape.keys) collect(inner, [...at, key], near, found);
  } else if (shape.type === 'named-tables') {
    const name = at.every((part, i) => part === near[i]) ? near[at.length] : undefined;
    collect(shape.value, [...at, name ?? 'NAME'], near, found);
  }
}

function printHome(path: Path): string {
  return path.length === 0 ? 'the top of the file' : `[${printPath(path)}]`;
}
