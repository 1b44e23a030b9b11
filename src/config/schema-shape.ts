/**
 * A valibot schema as plain data: what the problems, the JSON Schema and the reference page are made from. The only file that
 * looks inside valibot's objects.
 */

import type * as v from 'valibot';
import type { PartMetadata } from './schema-parts.ts';

export type Shape = (
  | { readonly type: 'table'; readonly keys: ReadonlyMap<string, Shape> }
  | { readonly type: 'named-tables'; readonly name: Shape; readonly value: Shape }
  | { readonly type: 'list'; readonly item: Shape; readonly least: number; readonly most?: number }
  | { readonly type: 'choice'; readonly options: readonly string[] }
  | { readonly type: 'number'; readonly least: number; readonly most: number }
  | { readonly type: 'text' }
  | { readonly type: 'boolean' }
) & {
  readonly description: string;
  readonly required: boolean;
  /** As it would be written in the file. */
  readonly default?: unknown;
  readonly about: PartMetadata;
};

/** What of valibot's objects is looked at: schemas and the items of their pipes alike. */
interface Part {
  readonly kind: string;
  readonly type: string;
  readonly pipe?: readonly Part[];
  readonly wrapped?: Part;
  readonly default?: unknown;
  readonly entries?: Readonly<Record<string, Part>>;
  readonly item?: Part;
  readonly key?: Part;
  readonly value?: Part;
  readonly options?: readonly string[];
  readonly requirement?: unknown;
  readonly description?: string;
  readonly metadata?: PartMetadata & { readonly least?: number; readonly most?: number };
}

/** The shape of a schema made with `schema-parts.ts`. */
export function shapeOf(schema: v.GenericSchema): Shape {
  return shape(schema as unknown as Part);
}

function shape(part: Part): Shape {
  if (part.type === 'optional' && part.wrapped) {
    const inner = shape(part.wrapped);
    return { ...inner, required: false, ...(part.default !== undefined && { default: part.default }) };
  }
  const parts = [...flatten(part)];
  const find = (type: string): Part | undefined => parts.findLast((item) => item.type === type);
  const metadata = Object.assign({}, ...parts.flatMap((item) => item.metadata ?? [])) as NonNullable<Part['metadata']>;
  const { least = 0, most = 0, ...about } = metadata;
  const common = { description: find('description')?.description ?? '', required: true, about };
  const body = parts.findLast((item) => item.kind === 'schema' && item.type !== 'custom');
  switch (body?.type) {
    case 'object': {
      const keys = Object.entries(body.entries ?? {}).map(([name, entry]) => [name, shape(entry)] as const);
      return { type: 'table', keys: new Map(keys), ...common };
    }
    case 'record':
      return { type: 'named-tables', name: shape(need(body.key)), value: shape(need(body.value)), ...common };
    case 'array': {
      const longest = find('max_length')?.requirement;
      const shortest = find('min_length')?.requirement;
      return {
        type: 'list',
        item: shape(need(body.item)),
        least: typeof shortest === 'number' ? shortest : 0,
        ...(typeof longest === 'number' && { most: longest }),
        ...common,
      };
    }
    case 'picklist':
      return { type: 'choice', options: body.options ?? [], ...common };
    case 'number':
      return { type: 'number', least, most, ...common };
    case 'boolean':
      return { type: 'boolean', ...common };
    case 'string':
      return { type: 'text', ...common };
    default:
      throw new Error(`a schema of type ${body?.type} has no shape`);
  }
}

/** A schema and the items of its pipe, and of the pipes in it, in order. */
function* flatten(part: Part): Generator<Part> {
  if (!part.pipe) yield part;
  else for (const item of part.pipe) yield* flatten(item);
}

function need(part: Part | undefined): Part {
  if (!part) throw new Error('a schema without its inner schema');
  return part;
}

/** The shape at the end of a path; undefined where there is none. */
export function shapeAt(root: Shape, path: readonly (string | number)[]): Shape | undefined {
  let at: Shape | undefined = root;
  for (const part of path) {
    if (at?.type === 'table') at = at.keys.get(String(part));
    else if (at?.type === 'named-tables') at = at.value;
    else if (at?.type === 'list') at = at.item;
    else return undefined;
  }
  return at;
}
