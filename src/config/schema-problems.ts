/** What valibot found wrong with the values of a file, in words: where (a path), what, and what to write. */

import type * as v from 'valibot';
import { type Finding, finding, quote } from './problem.ts';
import { printToml, shown } from './reading.ts';
import { isTable, splitComplaint } from './schema-parts.ts';
import { type Shape, shapeAt } from './schema-shape.ts';
import { type Path, printPath } from './toml-positions.ts';

export interface PathFinding {
  readonly path: Path;
  readonly about: Finding;
  /** The keys of which one has to be there, in the table that `path` leads into. */
  readonly missing?: readonly string[];
}

/** One issue of valibot's as a finding. */
export function explainIssue(root: Shape, issue: v.BaseIssue<unknown>): PathFinding {
  const path: Path = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)));
  const own = splitComplaint(issue.message);
  if (own) return { path, about: finding('error', own.message, own.hint) };
  const shape = shapeAt(root, path);
  const name = nameOf(path);
  if (issue.input === undefined && shape) {
    const message = `The section [${printPath(path.slice(0, -1))}] has no ${name}`;
    return {
      path,
      about: finding('error', message, `Add a line such as ${exampleLine(name, shape)}`),
      missing: [name],
    };
  }
  if (!shape) return { path, about: finding('error', `Cannot use ${name}`, 'Remove it') };
  const { message, hint } = refuse(shape, name, path, issue.input);
  return { path, about: finding('error', message, hint) };
}

/** None of the keys is there of which one has to be. */
export function* findLacks(shape: Shape, values: unknown, path: Path = []): Generator<PathFinding> {
  if (!isTable(values)) return;
  if (shape.type === 'named-tables') {
    for (const [name, value] of Object.entries(values)) yield* findLacks(shape.value, value, [...path, name]);
  }
  if (shape.type !== 'table') return;
  for (const [key, inner] of shape.keys)
    if (Object.hasOwn(values, key)) yield* findLacks(inner, values[key], [...path, key]);
  const { oneOf = [] } = shape.about;
  const [first] = oneOf;
  const wanted = first === undefined ? undefined : shape.keys.get(first);
  if (first === undefined || !wanted || oneOf.some((key) => Object.hasOwn(values, key))) return;
  const message = `The section [${printPath(path)}] has neither ${oneOf.join(' nor ')}`;
  const about = finding('error', message, `Add a line such as ${exampleLine(first, wanted)}`);
  yield { path: [...path, first], about, missing: oneOf };
}

function exampleLine(name: string, shape: Shape): string {
  return `${name} = ${printToml(shape.about.examples?.[0] ?? shape.default ?? '')}`;
}

function nameOf(path: Path): string {
  return path.findLast((part) => typeof part === 'string') ?? 'the file';
}

function refuse(shape: Shape, name: string, path: Path, input: unknown): { message: string; hint: string } {
  const message = `Cannot use ${describe(input)} for ${name}`;
  switch (shape.type) {
    case 'table':
    case 'named-tables': {
      const example = path.length === 1 && shape.type === 'named-tables' ? `${name}.ssh` : printPath(path);
      return { message, hint: `Make it a section: [${example}], and its keys below` };
    }
    case 'list': {
      const example = exampleLine(name, shape);
      if (Array.isArray(input)) {
        const most = shape.most === undefined ? '' : ` and at most ${shape.most}`;
        return { message, hint: `Write at least ${shape.least}${most}: ${example}` };
      }
      if (typeof input === 'string') {
        const items =
          shape.item.type === 'text' && !name.startsWith('on_')
            ? input.split(/[\s,]+/).filter(Boolean)
            : input.split(/\s+/);
        return { message, hint: `Write a list: ${name} = ${shown(printToml(items))}` };
      }
      return { message, hint: `Write a list: ${example}` };
    }
    case 'choice':
      return { message, hint: `Write ${alternatives(shape.options.map((option) => `"${option}"`))}` };
    case 'number':
      return { message, hint: `Write a whole number from ${shape.least} to ${shape.most}, without quotes` };
    case 'boolean':
      return { message, hint: 'Write true or false, without quotes' };
    case 'text': {
      const { read, wanted } = shape.about;
      const reading = typeof input === 'number' ? read?.(String(input)) : undefined;
      return {
        message,
        hint: reading && 'hint' in reading ? reading.hint : `Write ${wanted ?? 'a text in double quotes'}`,
      };
    }
  }
}

function alternatives(options: readonly string[]): string {
  return `${options.slice(0, -1).join(', ')} or ${options.at(-1) ?? ''}`;
}

function describe(input: unknown): string {
  if (typeof input === 'string') return quote(input);
  if (typeof input === 'number' || typeof input === 'boolean') return `the value ${input}`;
  if (Array.isArray(input)) return input.length === 0 ? 'an empty list' : `a list of ${input.length}`;
  return isTable(input) ? 'a table' : 'a date';
}
