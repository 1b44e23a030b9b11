/** The JSON Schema (2020-12) of a shape, for editors that complete and check TOML. It takes whatever the reader takes. */

import type { Shape } from './schema-shape.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** The whole document. */
export function printJsonSchema(root: Shape, title: string): string {
  const document = { $schema: 'https://json-schema.org/draft/2020-12/schema', title, ...jsonSchemaOf(root) };
  return `${print(document, '', 0)}\n`;
}

const WIDTH = 120;

/** JSON with lists on one line where they fit, as the project's formatter has it. `before` columns are taken already. */
function print(value: unknown, indent: string, before: number): string {
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const line = `[${value.map((item) => print(item, '', 0)).join(', ')}]`;
    if (!line.includes('\n') && before + line.length < WIDTH) return line;
    return `[\n${value.map((item) => `${inner}${print(item, inner, inner.length)}`).join(',\n')}\n${indent}]`;
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).map(([key, item]) => {
    const head = `${inner}${JSON.stringify(key)}: `;
    return `${head}${print(item, inner, head.length)}`;
  });
  return entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n${indent}}`;
}

export function jsonSchemaOf(shape: Shape): JsonSchema {
  const { description, about } = shape;
  const examples =
    shape.type === 'list' || shape.type === 'text' || shape.type === 'number' ? about.examples : undefined;
  return {
    ...(description !== '' && { description }),
    ...bodyOf(shape),
    ...(shape.default !== undefined && !isSection(shape) && { default: shape.default }),
    ...(examples && { examples }),
  };
}

function isSection(shape: Shape): boolean {
  return shape.type === 'table' || shape.type === 'named-tables';
}

function bodyOf(shape: Shape): JsonSchema {
  switch (shape.type) {
    case 'table': {
      const keys = [...shape.keys];
      const required = keys.filter(([, inner]) => inner.required).map(([name]) => name);
      return {
        type: 'object',
        properties: Object.fromEntries(keys.map(([name, inner]) => [name, jsonSchemaOf(inner)])),
        ...(required.length > 0 && { required }),
        ...(shape.about.oneOf && { anyOf: shape.about.oneOf.map((name) => ({ required: [name] })) }),
        additionalProperties: false,
      };
    }
    case 'named-tables':
      return {
        type: 'object',
        propertyNames: { pattern: shape.name.about.pattern },
        additionalProperties: jsonSchemaOf(shape.value),
      };
    case 'list':
      return {
        type: 'array',
        items: jsonSchemaOf(shape.item),
        ...(shape.least > 0 && { minItems: shape.least }),
        ...(shape.most !== undefined && { maxItems: shape.most }),
      };
    case 'choice':
      return { enum: shape.options };
    case 'number':
      return { type: 'integer', minimum: shape.least, maximum: shape.most };
    case 'boolean':
      return { type: 'boolean' };
    case 'text':
      return { type: 'string', ...(shape.about.pattern !== undefined && { pattern: shape.about.pattern }) };
  }
}
